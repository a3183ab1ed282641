"""What a model is called apart from its snapshot: how names of ours and of a provider's bill are brought together.

A bill may name a snapshot where we asked for an alias (``gpt-5-2025-08-07`` for ``gpt-5``), or use a
name for people (``Claude Haiku 4.5``, ``Claude 3.5 Sonnet 2024-10-22``). Two snapshots of one model
are one family here: their sums are compared together.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SNAPSHOT = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
_SHORT_SNAPSHOT = re.compile(r"^(gpt-.+)-(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])$")
"""OpenAI's snapshots of 2023 and 2024 end in month and day alone: ``gpt-4-0613``."""
_REMARK = re.compile(r"\s*\([^)]*\)")


@lru_cache(maxsize=4096)
def model_family(name: str) -> str:
    """The model's name without host, snapshot and spelling."""
    plain = _REMARK.sub("", name.strip().lower()).rpartition("/")[2]
    if plain.startswith("ft:"):
        # OpenAI bills ft:BASE:organisation:name:id as ft-BASE.
        plain = f"ft-{plain.split(':')[1]}"
    plain = _SNAPSHOT.sub("", plain.replace(" ", "-"))
    if plain.startswith("claude"):
        return _claude(plain)
    return _SHORT_SNAPSHOT.sub(r"\1", plain)


def _claude(name: str) -> str:
    """``claude-3-5-sonnet``, ``claude-sonnet-3.5`` and their like in one order: words, then the version."""
    parts = [part for part in re.split(r"[-.]", name) if part]
    words = [part for part in parts if not part.isdigit()]
    version = [part for part in parts if part.isdigit()]
    if len(version) > 1 and version[-1] == "0":
        version.pop()  # claude-opus-4-0 is an alias of claude-opus-4
    return "-".join(words + version)
