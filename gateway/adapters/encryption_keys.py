"""Where encryption keys are kept: ``encryption.key`` in ``$PONDER_HOME``, or PONDER_ENCRYPTION_KEY.

Either holds one key, or several with the newest first while they are being rotated: every one opens,
the first one seals. The file is read anew at each use, so that processes that run follow a rotation.
A rotation has three steps (the new key joins the old one; all rows are encrypted anew; the old key
goes), and wherever it is killed, the next one goes on from there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.adapters.key_cipher import EncryptionKey, KeyCipher
from gateway.adapters.key_file import new_secret, read_or_create, read_secrets, replace
from gateway.errors import ConfigurationError

VARIABLE = "PONDER_ENCRYPTION_KEY"
_OWNER_ONLY = 0o600


class EncryptionKeys:
    """The encryption keys of this machine. ``given`` are those of the environment, which go before the file."""

    def __init__(self, path: Path, given: tuple[str, ...] = ()) -> None:
        self._path = path
        self._given = given

    @property
    def is_given(self) -> bool:
        """Whether the keys stand in the environment, which no command of ours can change."""
        return bool(self._given)

    def to_seal(self) -> KeyCipher:
        """All keys; the first one is made if there is none. Raises ConfigurationError for an unreadable file."""
        if not self._given:
            read_or_create(self._path)
        cipher = self.to_open()
        assert cipher is not None  # noqa: S101  it was just made
        return cipher

    def to_open(self) -> KeyCipher | None:
        """All keys, None if there is none yet. Raises ConfigurationError for an unreadable file."""
        texts = self._given or read_secrets(self._path)
        return _cipher(texts) if texts else None

    @contextmanager
    def rotation(self) -> Iterator[KeyCipher | None]:
        """A cipher whose newest key is new; the others are dropped unless the block raises. None without any key.

        Raises ConfigurationError while another rotation runs, and where the environment holds one key only.
        """
        if self._given:
            if len(self._given) == 1:
                raise ConfigurationError(
                    f"{VARIABLE} is set, and only you can change it: put a new random key before the present one, with "
                    f"a comma between ({VARIABLE}=NEW,OLD), restart every gateway with it, and run this command again "
                    "with it; then take the old one out and restart once more"
                )
            yield _cipher(self._given)
            return
        with self._alone():
            texts = read_secrets(self._path)
            if not texts:
                yield None
                return
            if len(texts) == 1:
                texts = (new_secret(), *texts)
                replace(self._path, texts)
            yield _cipher(texts)
            replace(self._path, texts[:1])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two rotations at once, one would drop the key that the other one had just encrypted with."""
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                raise ConfigurationError("another rotation of the encryption key is under way; wait for it") from fault
            yield
        finally:
            os.close(lock)


def _cipher(texts: tuple[str, ...]) -> KeyCipher:
    return KeyCipher([EncryptionKey(text) for text in texts])
