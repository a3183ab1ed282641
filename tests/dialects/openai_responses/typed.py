"""JSON as the openai package's own types can hold it."""

from __future__ import annotations

import json
from typing import Any


def encodable(value: Any) -> Any:
    """``value`` without lone surrogates, which are JSON and no pydantic string."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
