"""Traffic: problems put to the gateway, so many at a time, and what it says itself of arm and cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.bench_routing.mix import Asked
from tests.bench_routing.policy import tokens_of
from tests.reasoner.prompts import messages
from tests.reasoner.tasks import is_right

AT_ONCE: Final = 16
_TIMEOUT_S: Final = 660
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """One problem as it was answered. ``tokens`` are those that the ledger charged for."""

    question: str
    operations: int
    difficulty: str
    arm: str
    is_right: bool
    tokens: float
    status: int
    request_id: str
    degraded: str | None


def ask_all(address: str, key: str, model: str, asked: Sequence[Asked]) -> list[Reply]:
    """Ask all of them, with the difficulty as a hint; neither a temperature nor a seed is named, as by the items."""
    return asyncio.run(_ask_all(address, key, model, asked))


async def _ask_all(address: str, key: str, model: str, asked: Sequence[Asked]) -> list[Reply]:
    places = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(address, headers=headers, timeout=timeout) as session:

        async def ask(one: Asked) -> Reply:
            body = {"model": model, "messages": messages(one.problem)}
            async with places, session.post("/v1/chat/completions", json=body, headers=one.hints) as response:
                said = await response.json()
            return _reply(one, response.status, response.headers, said)

        return await asyncio.gather(*map(ask, asked))


def _reply(one: Asked, status: int, headers: Mapping[str, str], said: Mapping[str, object]) -> Reply:
    text = _text(said) if status == _OK else ""
    return Reply(
        question=one.problem.question,
        operations=one.operations,
        difficulty=one.difficulty,
        arm=headers.get("x-ponder-arm", ""),
        is_right=is_right(one.problem, text),
        tokens=tokens_of(headers.get("x-ponder-cost-usd", "0")),
        status=status,
        request_id=headers.get("x-ponder-request-id", ""),
        degraded=headers.get("x-ponder-degraded"),
    )


def _text(said: Mapping[str, object]) -> str:
    choices = said["choices"]
    assert isinstance(choices, list)
    return choices[0]["message"]["content"] or ""


def keep(file: Path, replies: Sequence[Reply]) -> None:
    """Add replies to a file, a line each."""
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(each)) + "\n" for each in replies)


def kept(file: Path) -> list[Reply]:
    """The replies of a file; none where there is none."""
    if not file.exists():
        return []
    return [Reply(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
