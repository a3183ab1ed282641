"""Secrets in files of ``$PONDER_HOME``, mode 0600: made at first boot, read at later ones. And new secrets."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from gateway.domain.secret import PREFIX
from gateway.errors import ConfigurationError

_OWNER_ONLY = 0o600
_OTHERS = 0o077
_RANDOM_BYTES = 32


def new_secret() -> str:
    """A secret for a key: 256 random bits, and a prefix by which scanners for leaked secrets know it."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def read_or_create(path: Path) -> str:
    """The secret in ``path``; made there if there is none yet.

    Raises :class:`ConfigurationError` if the file is unreadable, readable by others, or empty.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = new_secret()
    draft = _draft(path, (secret,))
    try:
        # link() is atomic and refuses to replace: of two processes at first boot, one key survives.
        os.link(draft, path)
    except FileExistsError:
        return _read(path)
    finally:
        draft.unlink()
    _sync_folder(path)
    return secret


def read_secrets(path: Path) -> tuple[str, ...]:
    """The secrets in ``path``, one a line; none if there is no file. Raises ConfigurationError as above."""
    try:
        return tuple(_read(path).split())
    except FileNotFoundError:
        return ()


def replace(path: Path, texts: Sequence[str]) -> None:
    """Put these secrets, one a line, in the place of the file's; whoever reads meanwhile finds the old or the new."""
    draft = _draft(path, texts)
    draft.replace(path)
    _sync_folder(path)


def _draft(path: Path, texts: Sequence[str]) -> Path:
    """A new file beside ``path`` that is on the disk: what is encrypted with a key must not outlive it."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> str:
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not text"
        raise ConfigurationError(f"{path} cannot be read ({reason}); make it ours: chown, chmod 600") from fault
    if mode & _OTHERS:
        raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
    secret = text.strip()
    if not secret:
        raise ConfigurationError(f"{path} is empty; remove it and a new one is made at the next start")
    return secret
