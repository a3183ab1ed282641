"""Feedback as metadata of a stored chat completion: how ``openai``'s own client can give it.

``client.chat.completions.update(ID, metadata={"feedback": "1"})`` posts to ``/v1/chat/completions/ID``. Values of
metadata are texts there, so numbers are read from them. Nothing else of a completion is kept by such a request,
and what says nothing of it is refused rather than forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.dialects.json_bytes import check_object, loads
from gateway.errors import InvalidRequest

SCORE: Final = "feedback"
_SOURCE: Final = "feedback_source"
_COMMENT: Final = "feedback_comment"
_NUMBERS: Final = {"feedback_weight": "weight", "feedback_probability": "probability"}
_KNOWN: Final = (SCORE, _SOURCE, _COMMENT, *_NUMBERS)
METADATA: Final = {
    "type": "object",
    "required": [SCORE],
    "additionalProperties": False,
    "properties": {name: {"type": "string", "maxLength": 512} for name in _KNOWN},
}
"""The schema of what is accepted."""
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
_USUAL_SOURCE: Final = "user"


def read_metadata(raw: bytes, completion_id: str) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """The metadata of an update, and the same as a body of ``POST /v1/feedback``. Raises InvalidRequest."""
    body = loads(raw)
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(metadata, dict) or body.keys() != {"metadata"}:
        raise InvalidRequest("the body must be a JSON object with 'metadata', an object, and nothing else")
    check_object(raw, body)
    if not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidRequest("the values of 'metadata' must be texts", param="metadata")
    unknown = sorted(metadata.keys() - set(_KNOWN))
    if SCORE not in metadata or unknown:
        raise InvalidRequest(
            f"of a completion nothing is kept but feedback: 'metadata' takes {SCORE!r}, which is a number from 0 to 1 "
            f"or true or false, and beside it {', '.join(map(repr, _KNOWN[1:]))}",
            param=f"metadata.{unknown[0]}"[:64] if unknown else f"metadata.{SCORE}",
        )
    return metadata, {
        "request_id": completion_id,
        "source": metadata.get(_SOURCE, _USUAL_SOURCE),
        "score": _number(metadata[SCORE], SCORE),
        "comment": metadata.get(_COMMENT),
        **{known: _number(metadata[name], name) for name, known in _NUMBERS.items() if name in metadata},
    }


def _number(text: str, name: str) -> float:
    try:
        number = _TRUTHS.get(text.casefold())
        number = float(text) if number is None else number
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise InvalidRequest(
            f"'{name}' must be a number from 0 to 1 as a text, such as \"0.5\"", param=f"metadata.{name}"
        )
    return number
