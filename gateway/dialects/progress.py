"""How far a search has come, as an event that each dialect's own clients pass over or may read.

For a client that asked for it: an openai-chat chunk without choices, a ``ping`` of Anthropic's, and a comment in
the Responses API, whose official client takes no event before ``response.created``.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialects.json_bytes import dumps
from gateway.dialects.sse import comment
from gateway.domain.chat import Dialect


def progress_event(dialect: Dialect, request_id: str, progress: Mapping[str, int]) -> bytes:
    """One event. ``progress`` counts draws begun, draws ended and tokens written."""
    said = {"request_id": request_id, "progress": dict(progress)}
    if dialect is Dialect.OPENAI_CHAT:
        chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [], "ponder": said}
        return b"data: " + dumps(chunk) + b"\n\n"
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return b"event: ping\ndata: " + dumps({"type": "ping", "ponder": said}) + b"\n\n"
    return comment(f"ponder.progress {dumps(said).decode()}")
