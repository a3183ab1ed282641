"""Tests of gateway/adapters/key_file.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.adapters.key_file import new_secret, read_or_create
from gateway.errors import ConfigurationError


def test_the_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    """First boot makes a key of mode 0600, later boots read the same one."""
    path = tmp_path / "home" / "default.key"
    secret = read_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_create(path) == secret
    assert list(path.parent.iterdir()) == [path]


def test_those_who_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """However many start together, one key survives and all of them use it."""
    path = tmp_path / "default.key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: read_or_create(path), range(8)))
    assert secrets == {read_or_create(path)}


@pytest.mark.parametrize(("text", "mode", "message"), [("sk-1", 0o644, "chmod 600"), ("\n", 0o600, "empty")])
def test_an_unsafe_file_is_refused(tmp_path: Path, text: str, mode: int, message: str) -> None:
    """A key that others can read, or an empty one, stops the start with a remedy."""
    path = tmp_path / "default.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=message):
        read_or_create(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text stop the start, and are not repeated."""
    path = tmp_path / "pepper.key"
    path.write_bytes(b"\xff\xfesecret")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        read_or_create(path)
    assert "secret" not in refused.value.message


def test_new_secrets_are_recognisable_and_all_different() -> None:
    """A secret begins as all of ours do, and holds 256 random bits."""
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("sk-ponder-") and len(secret) == 53 for secret in made)
