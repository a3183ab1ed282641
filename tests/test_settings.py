"""Reading ``ponder.yaml``: every fault is named with its line, and none of them quotes a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import Settings, load, needs_restart, places

SECRET = "Hunter2-hunter2"


def _file(folder: Path, text: str | bytes) -> Path:
    path = folder / "ponder.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_missing_file_means_defaults(tmp_path: Path) -> None:
    """Without a file everything is as the defaults say, unless there must be one."""
    assert load(tmp_path / "ponder.yaml") == Settings()
    with pytest.raises(ConfigurationError, match="is gone"):
        load(tmp_path / "ponder.yaml", must_exist=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limit: {}", "ponder.yaml:1: limit: unknown key; did you mean 'limits'?"),
        ("limits:\n  deadline: 3", "ponder.yaml:2: limits.deadline: unknown key; did you mean 'deadline_s'?"),
        ("limits:\n  deadline_s: soon", "ponder.yaml:2: limits.deadline_s: Input should be a valid number"),
        ("models:\n  a: {upstream: x}\n  b: {upstream: x}\n  a: {upstream: y}", "ponder.yaml:4: the key 'a' stands"),
        ("limits: {body_bytes: 2048}\nlimits: {deadline_s: 3}", "ponder.yaml:2: the key 'limits' stands in line 1 too"),
        ("- a", "must hold a mapping"),
        ("a: [", "is not valid YAML at line 1, column 5: expected the node content, but found '<stream end>'"),
        ("a: 2026-02-31", "holds a date, a number or a nesting that cannot be"),
        ("a: " + "9" * 5000, "holds a date, a number or a nesting that cannot be"),
        ("a: &a [*a]", "a: unknown key"),
        (b"a: \xff", "is not UTF-8 text at byte 4"),
        ("a: \x07", "a character that YAML forbids"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Whoever broke the file is told where and what would be valid."""
    with pytest.raises(ConfigurationError) as caught:
        load(_file(tmp_path, text))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        f"upstreams: {{x: {{headers: {{authorization: {SECRET}]}}}}}}",
        f"upstreams:\n  x:\n    headers:\n      authorization: !{SECRET}\n",
        f"upstreams:\n  x:\n    headers:\n      authorization: *{SECRET}\n",
        f"upstreams:\n  x:\n    headers: {SECRET}\n",
        f"upstreams:\n  x:\n    headers:\n      authorization: 'a {SECRET}\n",
        f"upstreams:\n  x:\n    base_url: ftp://{SECRET}@host\n",
    ],
)
def test_no_fault_quotes_a_value(tmp_path: Path, text: str) -> None:
    """The message is shown at /health/ready: a secret header of the file must not stand in it."""
    with pytest.raises(ConfigurationError) as caught:
        load(_file(tmp_path, text))
    assert SECRET not in caught.value.message


def test_what_only_a_restart_applies_is_known() -> None:
    """Changes of what is read at start are named; those that a reload applies are not."""
    changed = Settings.model_validate(
        {
            "cors": {"allow_origins": ["https://a"]},
            "redis": {"url": "redis://r"},
            "limits": {"header_bytes": 2048, "deadline_s": 3},
        }
    )
    assert needs_restart(Settings(), changed) == ("cors", "redis", "limits.header_bytes")
    assert needs_restart(changed, changed) == ()


def test_administration_may_have_an_address_of_its_own() -> None:
    """Without a port of its own /admin is at the gateway's address; with one, at its own host or the gateway's."""
    assert places({"PONDER_PORT": "8001"}).admin_address == ("127.0.0.1", 8001)
    assert places({"PONDER_ADMIN_PORT": "9000", "PONDER_HOST": "::"}).admin_address == ("::", 9000)
    own = places({"PONDER_ADMIN_PORT": "9000", "PONDER_ADMIN_HOST": "127.0.0.1", "PONDER_HOST": "0.0.0.0"})
    assert own.admin_address == ("127.0.0.1", 9000)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PONDER_ADMIN_PORT": "many"}, "PONDER_ADMIN_PORT is 'many'"),
        ({"PONDER_ADMIN_PORT": "65536"}, "PONDER_ADMIN_PORT is '65536'"),
        ({"PONDER_PORT": "-1"}, "PONDER_PORT is '-1'"),
        ({"PONDER_ADMIN_PORT": "8000"}, "as is PONDER_PORT"),
    ],
)
def test_ports_must_be_ports(environment: dict[str, str], message: str) -> None:
    """A port that is none, or one for two things, ends the start with what would be accepted."""
    with pytest.raises(ConfigurationError, match=message):
        places(environment)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{levles: [low]}", "models.m.thinking.levles: unknown key; did you mean 'levels'?"),
        ("{levels: [lots]}", "models.m.thinking.levels.0: Input should be 'none', 'minimal'"),
        ("{control: magic}", "models.m.thinking.control: Input should be 'plain', 'always'"),
        ("{least_tokens: 5, most_tokens: 4}", "least_tokens is above most_tokens"),
        ("{takes_tokens: false, most_tokens: 4}", "takes_tokens is false"),
        ("{like: claude}", "models.m.thinking.like"),
    ],
)
def test_what_is_said_of_thinking_is_checked(tmp_path: Path, text: str, said: str) -> None:
    """Unknown keys, levels and contradictions below ``thinking`` are refused with their line."""
    file = tmp_path / "ponder.yaml"
    file.write_text(f"models:\n  m:\n    upstream: u\n    thinking: {text}\n")
    with pytest.raises(ConfigurationError) as refused:
        load(file)
    assert said in refused.value.message
    assert "ponder.yaml:4" in refused.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("upstreams: {x: {kind: openai, api_key: sk-canary}}", "'stored'"),
        ("upstreams: {x: {kind: openai, api_key: stored, api_key_env: CANARY}}", "not from both"),
        ("upstreams: {x: {kind: openai, scheduling_policy: priority}}", "kind vllm"),
        ("upstreams: {x: {kind: vllm, scheduling_policy: first}}", "'fcfs'"),
        ("upstreams: {a/b: {kind: openai, api_key: stored}}", "at most 64 letters"),
        ("webhooks: [{url: 'https://example.com'}]", "secret_env"),
        ("webhooks: [{url: 'https://example.com', secret_env: S, event: []}]", "did you mean 'events'?"),
        ("webhooks: [{url: 'https://example.com', secret_env: S, events: []}]", "at least 1"),
        ("webhooks: [{url: 'https://example.com', secret_env: S, events: [budget.gone]}]", "budget.exhausted"),
    ],
)
def test_stored_keys_and_webhooks_are_checked(tmp_path: Path, text: str, words: str) -> None:
    """A key in the file, two sources of one, a name that fits no path, and events there are none of are refused."""
    path = tmp_path / "ponder.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    assert words in refused.value.message
    assert "sk-canary" not in refused.value.message
