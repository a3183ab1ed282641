"""Tests of gateway/commands/reconcile.py and comparison.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.money import ZERO, usd
from gateway.domain.record import CallRecord, RequestRecord, Result
from gateway.domain.usage import Usage
from gateway.store.base import locate
from gateway.store.reconciliations import Finding, Kind, Reconciliations
from gateway.store.sinks import open_sink
from tests.adapters.cost_exports.samples import OPENAI_USAGE
from tests.commands.administered import Administered
from tests.commands.conftest import Ponder
from tests.store.records import NOON, call, identity, request
from tests.upstreams.gateway_process import GatewayProcess

HEADER = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n"
)
USAGE = Usage(input_tokens=53_440, cached_tokens=5_760, output_tokens=10_646)


def rows(*values: tuple[str, str, str, str]) -> str:
    """A cost export of Anthropic's console: day, model, key and dollars."""
    return HEADER + "".join(
        f"{day},{model},Default,{key},message,≤ 200k,output,{cost},{cost},token\n" for day, model, key, cost in values
    )


def haiku(cost: str, **changes: Any) -> CallRecord:
    """A call to Claude Haiku 4.5."""
    return call(upstream="anthropic", model="claude-haiku-4-5-20251001", cost=usd(cost), **changes)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway without models."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway") / "home", {}, {}) as process:
        yield process


@pytest.fixture
def ponder(run: Ponder, gateway: GatewayProcess) -> Administered:
    """Runs commands on the gateway's machine."""
    return Administered(run, gateway)


@pytest.fixture
def home(run: Ponder, environment: dict[str, str]) -> Path:
    """PONDER_HOME with a database."""
    assert run("db", "upgrade").exit_code == 0
    return Path(environment["PONDER_HOME"])


def _write(home: Path, records: Iterable[RequestRecord]) -> None:
    async def write() -> None:
        sink = open_sink(locate(f"sqlite:///{home}/ponder.db"))
        await sink.write(list(records))
        await sink.close()

    asyncio.run(write())


def _export(home: Path, content: str) -> str:
    file = home / "export.csv"
    file.write_text(content, "utf-8")
    return str(file)


def test_a_bill_that_agrees_ends_with_zero(run: Ponder, home: Path) -> None:
    """Names for people and snapshots are brought together, and cents are allowed their rounding."""
    _write(home, [request(1, calls=(haiku("0.104"),)), request(2, key_id="k2", calls=(haiku("0.1"),))])
    bill = rows(("2026-11-22", "Claude Haiku 4.5", "prod", "0.20"))
    result = run("reconcile", _export(home, bill), "--tolerance-usd", "0")
    assert result.exit_code == 0, result.output
    assert "Anthropic console, cost: 1 rows, 2026-11-22 to 2026-11-22, against anthropic" in result.output
    assert "1 of 1 lines agree within the tolerance." in result.output
    assert "and $0.005 for amounts printed in whole cents" in result.output
    assert "No request of these days has an unknown cost." in result.output
    assert "Whether requests are still open is not known: no gateway answers." in result.output


def test_differences_are_listed_with_totals_and_end_with_one(run: Ponder, home: Path) -> None:
    """Each line that differs is told with day, model and the keys of both sides; those that agree are counted."""
    _write(home, [request(1, calls=(haiku("1"),)), request(2, started_at=NOON - 86_400, calls=(haiku("1"),))])
    _write(home, [request(3, started_at=NOON - 86_400, calls=(haiku("2", started_at=NOON - 86_400),))])
    bill = rows(("2026-11-21", "Claude Haiku 4.5", "prod", "2.00"), ("2026-11-22", "Claude Haiku 4.5", "prod", "2.50"))
    result = run("reconcile", _export(home, bill))
    assert result.exit_code == 1
    lines = [line.split() for line in result.output.splitlines()]
    assert ["2026-11-22", "claude-haiku-4-5", "2.5", "2", "+0.5", "2", "prod", "2.5", "default", "2"] in lines
    assert ["total", "4.5", "4", "+0.5", "3", "prod", "4.5", "default", "4"] in lines
    assert not [line for line in lines if line[:1] == ["2026-11-21"]]
    assert "1 of 2 lines agree within the tolerance." in result.output
    assert run("reconcile", _export(home, bill), "--tolerance-usd", "0.5").exit_code == 0


def test_json_has_every_line_and_what_is_unknown(run: Ponder, home: Path) -> None:
    """Programs get all lines, the requests of unknown cost with their charge, and null for what no gateway says."""
    unknown = {"result": Result.INTERRUPTED, "is_cost_complete": False, "cost": ZERO, "charged": usd("0.2")}
    _write(home, [request(1, calls=(haiku("1"),)), request(2, **unknown, calls=())])
    told = json.loads(
        run("reconcile", _export(home, rows(("2026-11-22", "Claude Haiku 4.5", "prod", "1.00"))), "--json").output
    )
    assert (told["measure"], told["differs"], told["open_requests"]) == ("cost", False, None)
    assert told["lines"] == [
        {
            "day": "2026-11-22", "model": "claude-haiku-4-5", "upstream": None, "differs": False, "bill_usd": "1",
            "ledger_usd": "1", "difference_usd": "0", "rounding_usd": "0.005", "calls": 1, "unknown_cost_calls": 0,
            "their_keys": {"prod": "1"}, "our_keys": {"default": "1"},
        }
    ]  # fmt: skip
    assert told["unknown_costs"] == {
        "count": 1,
        "charged_usd": "0.2",
        "newest": [
            {
                "id": identity(2), "day": "2026-11-22", "key_id": "default", "model_asked": "gpt-mini",
                "result": "interrupted", "charged_usd": "0.2",
            }
        ],
    }  # fmt: skip


def test_days_can_be_chosen(run: Ponder, home: Path) -> None:
    """Only rows and calls of the days from --since to --until are compared, both included."""
    bill = _export(home, rows(*((f"2026-11-{day}", "Claude Haiku 4.5", "prod", "1.00") for day in (20, 21, 22, 23))))
    told = json.loads(run("reconcile", bill, "--since", "2026-11-21", "--until", "2026-11-22", "--json").output)
    assert [line["day"] for line in told["lines"]] == ["2026-11-21", "2026-11-22"]
    nothing = run("reconcile", bill, "--since", "2026-12-01")
    assert nothing.exit_code == 2
    assert "nothing can be compared" in nothing.output


def test_keys_can_be_assigned_to_upstreams(run: Ponder, home: Path) -> None:
    """Each assigned key is compared with the calls of its upstream; other keys of the account are left out."""
    _write(home, [request(1, calls=(haiku("1"),)), request(2, calls=(call(upstream="sandbox", cost=usd(2)),))])
    bill = rows(
        ("2026-11-22", "Claude Haiku 4.5", "prod", "1.00"),
        ("2026-11-22", "gpt-mini", "dev", "3.00"),
        ("2026-11-22", "Claude Haiku 4.5", "colleague", "7.00"),
    )
    file = _export(home, bill)
    result = run("reconcile", file, "--api-key", "prod=anthropic", "--api-key", "dev=sandbox")
    assert result.exit_code == 1
    lines = [line.split() for line in result.output.splitlines()]
    assert ["2026-11-22", "gpt-mini", "sandbox", "3", "2", "+1", "1", "dev", "3", "default", "2"] in lines
    assert "Left out, as they are assigned to no upstream: colleague ($7)." in result.output


def test_upstreams_are_found_by_their_provider(run: Ponder, home: Path, config: Path) -> None:
    """Upstreams of the configuration that are the provider's own are compared; others with --upstream alone."""
    config.write_text(
        "upstreams:\n"
        "  claude: {kind: anthropic, api_key_env: A}\n"
        "  proxied: {kind: anthropic, api_key_env: A, base_url: 'https://proxy.example'}\n"
    )
    bill = _export(home, rows(("2026-11-22", "Claude Haiku 4.5", "prod", "1.00")))
    assert json.loads(run("reconcile", bill, "--json").output)["upstreams"] == ["anthropic", "claude"]
    told = json.loads(run("reconcile", bill, "--json", "--upstream", "proxied").output)
    assert told["upstreams"] == ["proxied"]


def test_usage_exports_are_compared_in_tokens(run: Ponder, home: Path) -> None:
    """An export without money is compared class by class, and differs by more than the tokens tolerated."""
    at = NOON - 2 * 86_400
    _write(home, [request(1, started_at=at, calls=(call(model="gpt-5", started_at=at, usage=USAGE),))])
    assert run("reconcile", _export(home, OPENAI_USAGE)).exit_code == 0
    file = _export(home, OPENAI_USAGE.replace("10646.0", "10650.0"))
    result = run("reconcile", file)
    assert result.exit_code == 1
    lines = [line.split()[:6] for line in result.output.splitlines()]
    assert ["2026-11-20", "gpt-5", "output", "10650", "10646", "+4"] in lines
    assert run("reconcile", file, "--tolerance-tokens", "4").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name the FILE"),
        (("--nightly", "FILE"), "--nightly takes no FILE"),
        (("FILE", "--api-key", "prod"), "is not KEY=UPSTREAM"),
        (("FILE", "--tolerance-usd", "-1"), "is not an amount"),
        (("FILE", "--tolerance-usd", "few"), "is not an amount"),
        (("FILE",), "Its columns are: what, ever"),
    ],
)
def test_what_cannot_be_compared_ends_with_two(run: Ponder, home: Path, arguments: tuple[str, ...], words: str) -> None:
    """A wrong command line and an unknown file are told apart from differences by their exit code."""
    file = _export(home, "what,ever\n1,2\n")
    result = run("reconcile", *(file if each == "FILE" else each for each in arguments))
    assert result.exit_code == 2
    assert words in result.output


def test_the_nightly_checks_are_shown(ponder: Administered) -> None:
    """With --nightly the stored checks are listed; a difference in the newest of a kind ends with one."""
    home = ponder.gateway.log_file.parent
    nothing = ponder("reconcile", "--nightly")
    assert nothing.exit_code == 0, nothing.output

    async def write() -> None:
        results = Reconciliations(locate(f"sqlite:///{home}/ponder.db"))
        await results.begin("2026-11-21", Kind.CALLS, now=NOON)
        found = Finding(5, 1, usd("0.25"), ({"request_id": "r", "calls_usd": "0.5"},))
        await results.finish("2026-11-21", Kind.CALLS, found, now=NOON)
        await results.begin("2026-11-21", Kind.BALANCES, now=NOON)
        await results.close()

    asyncio.run(write())
    result = ponder("reconcile", "--nightly")
    assert result.exit_code == 1
    assert "2026-11-21 calls: request_id r, calls_usd 0.5" in result.output
    assert "not finished" in result.output
    told = json.loads(ponder("reconcile", "--nightly", "--json").output)
    assert [(each["kind"], each["difference_usd"]) for each in told] == [("balances", "0"), ("calls", "0.25")]


def test_open_requests_are_told_by_the_gateway(ponder: Administered) -> None:
    """With a gateway running, the comparison says how many requests are not in the ledger yet."""
    home = ponder.gateway.log_file.parent
    result = ponder("reconcile", _export(home, rows(("2026-11-22", "Claude Haiku 4.5", "prod", "1.00"))))
    assert "Requests still open: 0; their calls are in no ledger yet." in result.output
