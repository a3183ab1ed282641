"""Signatures over thinking: a provider knows those it issued, and refuses all others."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_KEY = b"the key of a provider that exists on loopback only"


def sign(text: str) -> str:
    """The signature of ``text``: base64 with the characters (+, /, =) that careless code mangles."""
    digest = hmac.new(_KEY, text.encode("utf-8", "surrogatepass"), hashlib.sha512).digest()
    return base64.b64encode(b"\x12\xfb\xff\xbe" + digest).decode("ascii")


def is_signed(text: str, signature: object) -> bool:
    """Whether ``signature`` is ours and was issued for exactly this text."""
    return isinstance(signature, str) and hmac.compare_digest(sign(text).encode(), signature.encode())


def seal(text: str) -> str:
    """``text`` in a form that only the provider can read, as redacted thinking is."""
    return base64.b64encode(text.encode()).decode("ascii") + "." + sign(text)


def is_sealed(data: object) -> bool:
    """Whether ``data`` came from :func:`seal` and is unchanged."""
    if not isinstance(data, str) or "." not in data:
        return False
    body, _, signature = data.partition(".")
    try:
        text = base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return is_signed(text, signature)
