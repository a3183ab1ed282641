"""The files that pages load: one style sheet, and htmx. Read once; their addresses change when they do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).with_name("static")
_KINDS: Final = {
    "dashboard.css": "text/css; charset=utf-8",
    "htmx-2.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    kind: str
    content: bytes


@cache
def find(name: str) -> Asset | None:
    """The file of this name; None for any other name than those that pages load."""
    kind = _KINDS.get(name)
    return None if kind is None else Asset(kind, (_FOLDER / name).read_bytes())


@cache
def address_of(name: str) -> str:
    """Where a page finds the file, by what is in it: it may be kept for good."""
    found = find(name)
    if found is None:
        raise LookupError(f"pages load {', '.join(_KINDS)}, and not {name}")
    return f"/dashboard/static/{name}?v={sha256(found.content).hexdigest()[:12]}"
