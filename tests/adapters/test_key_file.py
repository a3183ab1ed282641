"""The first key's file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.adapters.key_file import SingleKey, read_or_create
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


def test_only_the_whole_secret_opens() -> None:
    """A prefix, an extension or a lone surrogate is not the key, and its id never holds the secret."""
    ring = SingleKey("sk-ponder-abc")
    key = ring.find("sk-ponder-abc")
    assert key is not None
    assert "abc" not in key.id
    for wrong in ("sk-ponder-ab", "sk-ponder-abcd", "", "\ud800"):
        assert ring.find(wrong) is None
