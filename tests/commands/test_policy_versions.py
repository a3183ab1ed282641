"""``ponder policy``: versions in force, going back, returning to the file, against a real gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.administered import Administered
from tests.commands.conftest import Ponder
from tests.policy.documents import policy_text, write_policy
from tests.upstreams.gateway_process import GatewayProcess, awaited


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway without models."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway") / "home", {}, {}) as process:
        yield process


@pytest.fixture
def ponder(run: Ponder, gateway: GatewayProcess) -> Administered:
    """Runs commands on the gateway's machine."""
    return Administered(run, gateway)


def _load(ponder: Administered, name: str, deadline_s: int, *, versions: int) -> None:
    write_policy(ponder.gateway.home / "policies", name, policy_text(name, deadline_s=deadline_s))

    def count() -> int:
        result = ponder("policy", "versions", name)
        return len(result.output.splitlines()) - 1 if result.exit_code == 0 else 0

    awaited(lambda: count() == versions, "the version")


def test_a_policy_is_rolled_back_and_released(ponder: Administered) -> None:
    """One command goes back, another returns to the file; the lists tell what is in force and since when."""
    _load(ponder, "ours", 10, versions=1)
    _load(ponder, "ours", 20, versions=2)
    second, first = (each["digest"] for each in ponder.told("policy", "versions", "ours"))
    assert (
        f"Policy ours is at {first[:12]}, rolled back from {second[:12]}."
        in ponder("policy", "rollback", "ours").output
    )
    (listed,) = [line for line in ponder("policy", "list").output.splitlines() if line.startswith("ours")]
    assert first[:12] in listed
    assert "rolled back" in listed
    assert f"Policy ours is at {second[:12]}, the version of its file." in ponder("policy", "release", "ours").output
    assert [each["digest"] for each in ponder.told("policy", "versions", "ours")] == [second, first, second, first]
    assert {each["name"] for each in ponder.told("policy", "list")} >= {"default", "ours"}


def test_a_version_may_be_chosen(ponder: Administered) -> None:
    """With --to, any version that ever was in force."""
    for count in (1, 2, 3):
        _load(ponder, "chosen", 10 * count, versions=count)
    oldest = ponder.told("policy", "versions", "chosen")[-1]["digest"]
    assert ponder.told("policy", "rollback", "chosen", "--to", oldest)["digest"] == oldest


def test_refusals_are_told(ponder: Administered) -> None:
    """What the gateway refuses is said in its words, with exit code 1."""
    for words, arguments in {
        "no policy of this name": ("versions", "nobody"),
        "there is no policy": ("rollback", "nobody"),
        "not rolled back": ("release", "default"),
    }.items():
        result = ponder("policy", *arguments)
        assert result.exit_code == 1
        assert words in result.output
