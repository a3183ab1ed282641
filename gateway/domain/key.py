"""Keys: who is asking, and what they may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's key, never its secret. ``may_override`` lets hints loosen limits as well."""

    id: str
    may_override: bool = False
