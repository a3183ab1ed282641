"""Asks the running gateway, as any client would: an item of an arm, by ``arm:POLICY/NAME``.

So what is measured is what traffic gets, and stands in the same ledger. A named arm is no part of a canary, of
exploration, or of what is estimated from traffic.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from calibrator.items.item import DIALECT, Item
from gateway.adapters.batch_wire import read_object
from gateway.adapters.transport import Transport
from gateway.commands.running import caller_key, url_of
from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.ask import CALIBRATION
from gateway.domain.money import ZERO, Usd, show, usd
from gateway.errors import (
    ConfigurationError,
    InvalidRequest,
    Unavailable,
    UpstreamDenied,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.ports import BatchResult, UpstreamCall
from gateway.settings import Places, Settings

KEY: Final = "PONDER_CALIBRATOR_KEY"
"""The variable with a key of the calibrator's own; without it the one in PONDER_HOME is used."""
_PATH: Final = "/v1/chat/completions"
_MARGIN_S: Final = 15.0
"""What an answer may take beyond its deadline until it is given up: the gateway says itself when it is late."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_READY_S: Final = 10.0
_NO_ANSWER: Final = ""
NO_LATENCY_S: Final = 0.0
"""Of an answer that came in a batch: how long it took says nothing of the arm."""
_OK: Final = 200
_REFUSED: Final = (400, 413, 422)
"""Statuses by which a model refuses an ask. Others are about the key, or may pass."""
_OUR_FAULTS: Final = frozenset(
    ("conflict", "invalid_request", "not_allowed", "not_found", "unknown_model", "unpriced_model")
)
"""Codes of the gateway's own refusals. They are about the run or the moment (an arm that is too slow just now), and
say nothing of how well an arm answers an item, as a refusal by its model does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an arm said to an item. ``cost`` is None where the gateway does not know it in full."""

    text: str
    cost: Usd | None
    tokens: int
    """Written by models, for all draws of a search together."""
    latency_s: float
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """An arm that cannot answer an item: its model refuses it, or is too late. To ask again would not help."""

    reason: str
    cost: Usd | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class Postponed:
    """An arm that cannot be asked for now, however often one tries; that says nothing of how well it answers."""

    reason: str
    is_unbilled: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """An item to ask of an arm of a policy, for at most so much, within so many seconds."""

    item: Item
    policy: str
    arm: str
    run_id: str
    max_cost: Usd
    deadline_s: float


def batched_body(wanted: Wanted) -> dict[str, Any]:
    """The ask as a line of a batch has it. It names no ceiling: a provider's batches would know nothing of it."""
    return {"model": _model(wanted), **wanted.item.body, "ponder": {"tags": _tags(wanted)}}


def read_late(result: BatchResult, cost: Usd | None) -> Answer | Failure | None:
    """What a batch says to an ask; None where it says nothing of the arm, and a live ask may."""
    if result.body is None:
        return None
    if result.status == _OK:
        answer = read_object("gateway", "a batch's result", result.body)
        return Answer(_text(answer), cost, _tokens(answer), NO_LATENCY_S, result.request_id)
    is_of_model = result.status in _REFUSED and _told(result.body)[0] not in _OUR_FAULTS
    return Failure(f"refused ({result.status})", cost, NO_LATENCY_S) if is_of_model else None


class Asking:
    """The gateway, as the calibrator's key sees it."""

    def __init__(self, url: str, key: str, *, connections: int, patience_s: float) -> None:
        """``patience_s``: for how long an ask is repeated that fails for a reason that may pass."""
        self._url = url
        self._patience_s = patience_s
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._transport = Transport(name="gateway", base_url=url, headers=headers, connections=connections)

    async def check(self) -> None:
        """See that a gateway answers and knows the key. Raises Unavailable or ConfigurationError."""
        try:
            await self._transport.get("/v1/models", timeout_s=_READY_S)
        except UpstreamDenied as fault:
            raise ConfigurationError(
                f"the gateway at {self._url} does not take the calibrator's key; set {KEY} to one that may use the "
                "policy, or PONDER_HOME to the folder that holds its default.key"
            ) from fault
        except UpstreamError as fault:
            raise Unavailable(f"no gateway answers at {self._url}; start one with `ponder up`") from fault

    async def ask(self, wanted: Wanted) -> Answer | Failure | Postponed:
        """One answer. What may pass and cost nothing is waited for and tried again.

        Raises ConfigurationError where the gateway refuses the run.
        """
        body = dumps(_body(wanted))
        end = time.monotonic() + self._patience_s
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                return await self._once(body, wanted.deadline_s, began)
            except UpstreamTimedOut as fault:
                return Failure(fault.message, None, time.monotonic() - began)
            except UpstreamRefused as fault:
                return _refused(fault, wanted, time.monotonic() - began)
            except UpstreamDenied as fault:
                raise ConfigurationError(
                    f"the gateway turned the calibrator away: {fault.message}. The key needs policy {wanted.policy}, "
                    f"its models, and budget left; {KEY} names another"
                ) from fault
            except UpstreamError as fault:
                wait = fault.retry_after_s or pause * random.uniform(0.5, 1.5)  # noqa: S311
                if not fault.is_unbilled or time.monotonic() + wait > end:
                    return Postponed(fault.message, fault.is_unbilled)
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _once(self, body: bytes, deadline_s: float, began: float) -> Answer:
        within_s = deadline_s + _MARGIN_S
        call = UpstreamCall(
            dialect=DIALECT,
            path=_PATH,
            body=body,
            is_stream=False,
            request_id="",
            deadline_s=within_s,
            first_byte_s=within_s,
            idle_s=within_s,
        )
        async with self._transport.post(call, {}) as reply:
            answer = read_object("gateway", _PATH, await reply.read())
            headers = reply.headers
        return Answer(
            text=_text(answer),
            cost=_cost(headers.get("x-ponder-cost-usd")),
            tokens=_tokens(answer),
            latency_s=time.monotonic() - began,
            request_id=headers.get("x-ponder-request-id"),
        )


def batch_asking(where: Places, settings: Settings, environment: Mapping[str, str]) -> Transport:
    """The connection to the gateway's batches, which speak as OpenAI's do. Raises ConfigurationError without a key."""
    url, key = _gateway(where, settings, environment)
    headers = {"authorization": f"Bearer {key}"}
    return Transport(name="gateway", base_url=f"{url}/v1", headers=headers, connections=1)


def _gateway(where: Places, settings: Settings, environment: Mapping[str, str]) -> tuple[str, str]:
    key = environment.get(KEY) or caller_key(where, environment)
    return settings.calibration.gateway_url or url_of(where), key


def asking(where: Places, settings: Settings, environment: Mapping[str, str], *, patience_s: float) -> Asking:
    """The gateway of this configuration. Raises ConfigurationError where there is no key for it."""
    url, key = _gateway(where, settings, environment)
    return Asking(url, key, connections=settings.calibration.concurrency, patience_s=patience_s)


def _body(wanted: Wanted) -> dict[str, Any]:
    ponder: dict[str, Any] = {"tags": _tags(wanted)}
    if wanted.max_cost > ZERO:
        ponder["max_cost_usd"] = show(wanted.max_cost)
    return {"model": _model(wanted), **wanted.item.body, "ponder": ponder}


def _model(wanted: Wanted) -> str:
    return f"arm:{wanted.policy}/{wanted.arm}"


def _tags(wanted: Wanted) -> dict[str, str]:
    return {CALIBRATION: wanted.run_id}


def body_bytes(wanted: Wanted) -> int:
    """How long the ask is: no token is shorter than a byte."""
    return len(dumps(_body(wanted)))


def _refused(fault: UpstreamRefused, wanted: Wanted, latency_s: float) -> Failure:
    code, message = _told(fault.body)
    if code in _OUR_FAULTS:
        raise ConfigurationError(f"the gateway refuses arm {wanted.arm} of policy {wanted.policy}: {message}")
    return Failure(f"refused ({fault.upstream_status})", ZERO, latency_s)


def _told(body: bytes) -> tuple[str, str]:
    """The code and the message of an error as the gateway writes it."""
    try:
        error = loads(body).get("error")
    except (InvalidRequest, AttributeError):
        return "", ""
    return (str(error.get("code")), str(error.get("message"))) if isinstance(error, dict) else ("", "")


def _text(answer: Mapping[str, Any]) -> str:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    message = first.get("message") if isinstance(first, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else _NO_ANSWER


def _tokens(answer: Mapping[str, Any]) -> int:
    usage = answer.get("usage")
    written = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return written if isinstance(written, int) and written >= 0 else 0


def _cost(told: str | None) -> Usd | None:
    try:
        return None if told is None else usd(Decimal(told))
    except InvalidOperation:
        return None
