"""Tests of gateway/commands/{keys,teams,budgets,tenancy}.py, against a real gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.commands.administered import Administered
from tests.commands.conftest import Ponder
from tests.upstreams.gateway_process import GatewayProcess

_SECRET = re.compile(r"^sk-ponder-[\w-]{43}$", re.MULTILINE)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway without models."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway") / "home", {}, {}) as process:
        yield process


@pytest.fixture
def ponder(run: Ponder, gateway: GatewayProcess) -> Administered:
    """Runs commands on the gateway's machine."""
    return Administered(run, gateway)


def _opens(gateway: GatewayProcess, secret: str) -> int:
    return gateway.get("/v1/models", authorization=f"Bearer {secret}").status_code


def test_a_key_is_made_shown_rotated_and_revoked(ponder: Administered, gateway: GatewayProcess) -> None:
    """The whole life of a key; each secret is printed alone on standard output, once, with a note beside it."""
    made = ponder("keys", "create", "life", "--model", "gpt-*", "--model", "claude-*", "--requests-per-minute", "9")
    assert made.exit_code == 0
    assert _SECRET.fullmatch(first := made.stdout.strip())
    assert "shown this once" in made.stderr
    assert _opens(gateway, first) == 200
    shown = ponder("keys", "show", "life").output
    assert all(words in shown for words in ("gpt-*, claude-*", "9 requests/min", "valid", f"sk-ponder-…{first[-4:]}"))
    assert not _SECRET.search(shown)
    rotated = ponder("keys", "rotate", "life").stdout.strip()
    assert [_opens(gateway, secret) for secret in (first, rotated)] == [401, 200]
    assert "is revoked" in ponder("keys", "revoke", "life").output
    assert _opens(gateway, rotated) == 401
    assert "life" not in ponder("keys", "list").output
    assert "revoked" in ponder("keys", "list", "--revoked").output


def test_every_option_reaches_the_key(ponder: Administered) -> None:
    """What the options say is what the key has."""
    ponder.told("teams", "create", "options", "--concurrency", "7", "--arm", "fast")
    options = {"team": "options", "role": "viewer", "priority": "background", "expires-in": "2h", "arm": "fast"}
    options |= {"policy": "thrift", "allow-policy": "car*", "tokens-per-minute": "1000", "concurrency": "3"}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    key = ponder.told("keys", "create", "full", *arguments, "--may-override")["key"]
    assert (key["role"], key["priority"], key["may_override"]) == ("viewer", "background", True)
    assert (key["models"], key["arms"], key["policies"]) == (None, ["fast"], ["car*"])
    assert key["policy"] == "thrift"
    assert "thrift" in ponder("keys", "show", "full").output
    assert key["limits"] == {"requests_per_minute": None, "tokens_per_minute": 1000, "concurrency": 3}
    lasts_s = (datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)).total_seconds()
    assert 0 < lasts_s <= 7200
    assert [each["id"] for each in ponder.told("keys", "list", "--team", "options")] == [key["id"]]
    assert "7 at once" in ponder("teams", "list").output


def test_old_secrets_may_be_given_time(ponder: Administered, gateway: GatewayProcess) -> None:
    """With --grace, the secret before a rotation works on."""
    first = ponder.told("keys", "create", "graceful")["secret"]
    second = ponder.told("keys", "rotate", "graceful", "--grace", "10m")["secret"]
    assert [_opens(gateway, secret) for secret in (first, second)] == [200, 200]
    assert "(until 2" in ponder("keys", "show", "graceful").output


def test_budgets_are_set_and_listed(ponder: Administered) -> None:
    """A budget is set for a key or a team, replaces that of the same period, and is listed with its holder."""
    ponder.told("keys", "create", "spender")
    ponder.told("teams", "create", "spenders")
    ponder.told("budgets", "set", "--key", "spender", "day", "1.50")
    assert "$2/day" in ponder("budgets", "set", "--key", "spender", "day", "2", "--soft-share", "0.8").output
    assert "Team spenders: $100/total" in ponder("budgets", "set", "--team", "spenders", "total", "100").output
    listed = {each["name"]: each for each in ponder.told("budgets", "list")}
    assert listed["spender"]["amount_usd"] == "2"
    assert listed["spender"]["soft_share"] == "0.8"
    assert (listed["spenders"]["kind"], listed["spenders"]["period"]) == ("team", "total")
    assert "spenders" in ponder("budgets", "list").output


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("keys", "show", "nobody"), 1, "no key of this id or name"),
        (("keys", "show", "../teams"), 1, "no such path"),
        (("keys", "create", "a b"), 1, "name"),
        (("keys", "create", "x", "--team", "nobody"), 1, "no team"),
        (("keys", "create", "x", "--expires-in", "soon"), 2, "30d"),
        (("keys", "create", "x", "--expires-in", "9999999d"), 2, "30d"),
        (("keys", "create", "x", "--role", "root"), 2, "operator"),
        (("keys", "rotate", "default", "--grace", "31d"), 1, "grace_s"),
        (("budgets", "set", "day", "1"), 2, "--team"),
        (("budgets", "set", "--key", "default", "day", "much"), 1, "amount_usd"),
        (("teams", "create", "default"), 1, "must be none of"),
    ],
)
def test_refusals_say_what_is_wrong(
    ponder: Administered, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    """What is refused ends with the reason, and no traceback."""
    result = ponder(*arguments)
    assert (result.exit_code, result.exception is None or isinstance(result.exception, SystemExit)) == (exit_code, True)
    assert words in result.output


def test_the_admin_key_comes_from_environment_or_home(ponder: Administered, run: Ponder) -> None:
    """PONDER_ADMIN_KEY goes before admin.key; with neither, the message names both."""
    assert "not known here" in ponder("keys", "list", PONDER_ADMIN_KEY="sk-ponder-nobody").output
    result = run("keys", "list")
    assert result.exit_code == 2
    assert "PONDER_ADMIN_KEY" in result.output
    assert "admin.key" in result.output
