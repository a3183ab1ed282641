"""The first virtual key: made at first boot in ``$PONDER_HOME/default.key``, mode 0600.

The secret is held in memory only as a SHA-256 digest. It has 256 random bits, so a plain digest
cannot be searched; a slow password hash would buy nothing and cost every request.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from gateway.domain.key import Key
from gateway.errors import ConfigurationError

PREFIX = "sk-ponder-"
"""How every key of ours begins, so that it cannot be taken for a provider's."""

_OWNER_ONLY = 0o600
_OTHERS = 0o077


class SingleKey:
    """The key ring of a gateway with one key. Satisfies :class:`gateway.ports.KeyRing`."""

    def __init__(self, secret: str) -> None:
        self._digest = sha256(secret.encode()).digest()
        self._key = Key(id="default", may_override=True)

    def find(self, secret: str) -> Key | None:
        """The key, compared by whole digests in constant time."""
        digest = sha256(secret.encode("utf-8", "replace")).digest()
        return self._key if hmac.compare_digest(digest, self._digest) else None


def read_or_create(path: Path) -> str:
    """The secret in ``path``; made there if there is none yet.

    Raises :class:`ConfigurationError` if the file is readable by others or empty.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = PREFIX + secrets.token_urlsafe(32)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    try:
        # link() is atomic and refuses to replace: of two processes at first boot, one key survives.
        os.link(draft, path)
    except FileExistsError:
        return _read(path)
    finally:
        draft.unlink()
    return secret


def _read(path: Path) -> str:
    if path.stat().st_mode & _OTHERS:
        raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
    secret = path.read_text("utf-8").strip()
    if not secret:
        raise ConfigurationError(f"{path} is empty; remove it and a new key is made at the next start")
    return secret
