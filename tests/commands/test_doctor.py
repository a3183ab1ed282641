"""Tests of gateway/commands/doctor.py and findings.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.answering import answering
from tests.commands.conftest import Ponder
from tests.policy.documents import write_policy


def _levels(run: Ponder, **more: str) -> dict[str, str]:
    result = run("doctor", "--json", **more)
    findings = json.loads(result.output)
    levels = {finding["check"]: finding["level"] for finding in findings}
    assert result.exit_code == int("fail" in levels.values())
    assert all(finding["remedy"] for finding in findings if finding["level"] != "ok")
    return levels


def test_a_fresh_machine_is_healthy(run: Ponder, environment: dict[str, str]) -> None:
    """Before the first start nothing fails, only the gateway is not running, and nothing is made."""
    levels = _levels(run)
    assert {check for check, level in levels.items() if level != "ok"} == {"gateway"}
    assert {"config", "home", "key", "database", "broker", "embedded model", "models"} < set(levels)
    assert not Path(environment["PONDER_HOME"]).exists()


def test_the_table_says_what_to_do(run: Ponder) -> None:
    """For people, each finding is a line with its remedy."""
    result = run("doctor")
    assert result.exit_code == 0
    assert any(line.startswith("warn") and line.rstrip().endswith("ponder up") for line in result.output.splitlines())


def test_a_wrong_configuration_fails_first(run: Ponder, config: Path) -> None:
    """With a wrong ponder.yaml, only what does not depend on it is checked."""
    config.write_text("nonsense: 1\n")
    assert _levels(run) == {"config": "fail", "home": "ok", "key": "ok", "admin key": "ok", "pepper": "ok"}


def test_a_broken_policy_is_found(run: Ponder, config: Path) -> None:
    """A policy of one's own that is not valid fails, with its file and line; a valid one is listed."""
    write_policy(config.parent / "policies", "ours")
    assert _levels(run)["policies"] == "ok"
    assert "ours" in run("doctor").output
    write_policy(config.parent / "policies", "ours", "policy: ours\narmz: {}\n")
    assert _levels(run)["policies"] == "fail"
    assert "ours/policy.yaml:2" in run("doctor").output


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_is_not_used_is_told(run: Ponder, variable: str) -> None:
    """Whoever set a proxy for all programs learns that calls do not take it; its address is not shown."""
    assert _levels(run, **{variable: "http://user:password@proxy:3128"})["proxy"] == "warn"
    assert "password" not in run("doctor", **{variable: "http://user:password@proxy:3128"}).output
    assert "proxy" not in _levels(run, **{variable: ""})


def test_open_permissions_are_found(run: Ponder, environment: dict[str, str]) -> None:
    """A home open to others is a warning, a key file open to others a failure."""
    home = Path(environment["PONDER_HOME"])
    home.mkdir()
    home.chmod(0o755)
    (home / "default.key").write_text("sk-1\n")
    (home / "default.key").chmod(0o644)
    levels = _levels(run)
    assert (levels["home"], levels["key"]) == ("warn", "fail")


@pytest.mark.parametrize(("text", "level"), [("", "fail"), ("sk-1\n", "ok")])
def test_an_empty_key_file_is_found(run: Ponder, environment: dict[str, str], text: str, level: str) -> None:
    """A key file of the right mode must also hold a key."""
    home = Path(environment["PONDER_HOME"])
    home.mkdir(mode=0o700)
    (home / "default.key").touch(mode=0o600)
    (home / "default.key").write_text(text)
    assert _levels(run)["key"] == level


def test_a_database_is_checked_for_its_revision(run: Ponder, environment: dict[str, str]) -> None:
    """A database without tables is a warning, a migrated one is well, an unknown kind fails."""
    Path(environment["PONDER_HOME"]).mkdir(mode=0o700)
    (Path(environment["PONDER_HOME"]) / "ponder.db").touch()
    assert _levels(run)["database"] == "warn"
    run("db", "upgrade")
    assert _levels(run)["database"] == "ok"
    assert _levels(run, PONDER_DATABASE_URL="mysql://127.0.0.1/ponder")["database"] == "fail"


def test_a_broker_that_does_not_answer_fails(run: Ponder) -> None:
    """A configured broker must be reachable."""
    assert _levels(run, PONDER_BROKER_URL="amqp://127.0.0.1:9//")["broker"] == "fail"


def _configure(config: Path, url: str, *, price: str = "free", key: str = "") -> None:
    config.write_text(
        f"upstreams: {{gpu: {{kind: openai, base_url: '{url}/v1'{key}}}}}\n"
        f"models: {{qwen: {{upstream: gpu, price: {price}}}}}\n"
    )


def test_upstreams_are_asked_with_their_keys(run: Ponder, config: Path) -> None:
    """Each upstream is asked for its models with its own key; a wrong key, a missing one or silence fails."""
    listing = {"/v1/models": (200, {"object": "list", "data": [{"id": "qwen"}]})}
    with answering(listing, key="sk-gpu") as (url, seen):
        _configure(config, url, key=", api_key_env: GPU_KEY")
        assert _levels(run, GPU_KEY="sk-gpu")["upstream gpu"] == "ok"
        assert seen[-1]["authorization"] == "Bearer sk-gpu"
        assert _levels(run, GPU_KEY="sk-wrong")["upstream gpu"] == "fail"
        assert _levels(run)["upstream gpu"] == "fail"
    assert _levels(run, GPU_KEY="sk-gpu")["upstream gpu"] == "fail"


def test_models_without_a_price_are_found(run: Ponder, config: Path) -> None:
    """An unpriced model fails, and is only a warning where the configuration allows it."""
    with answering({"/v1/models": (200, {"data": []})}) as (url, _):
        _configure(config, url, price="null")
        assert _levels(run)["models"] == "fail"
        config.write_text(config.read_text() + "allow_unpriced: true\n")
        assert _levels(run)["models"] == "warn"


def test_a_model_at_an_unknown_upstream_is_found(run: Ponder, config: Path) -> None:
    """A model whose upstream is not configured fails."""
    config.write_text("models: {qwen: {upstream: gpu, price: free}}\n")
    assert _levels(run)["models"] == "fail"


def test_a_running_gateway_tells_what_is_degraded(run: Ponder) -> None:
    """A running gateway is well, or a warning with the states it lists."""
    with answering({"/health/ready": (200, {"status": "ready", "degraded": []})}) as (url, _):
        assert _levels(run, PONDER_PORT=url.rsplit(":", 1)[1])["gateway"] == "ok"
    with answering({"/health/ready": (200, {"status": "degraded", "degraded": ["no database"]})}) as (url, _):
        assert _levels(run, PONDER_PORT=url.rsplit(":", 1)[1])["gateway"] == "warn"
