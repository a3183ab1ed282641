"""Tests of gateway/dialects/openai_chat/extensions.py."""

from __future__ import annotations

from gateway.dialects.openai_chat import CODEC, only_documented
from gateway.domain.chat import Conversation, Role, Sampling, Text, Thinking, Tool, Turn

_MARK = {"type": "ephemeral"}


def test_extension_fields_are_removed_and_named() -> None:
    """Thinking, cache marks and top_k go, by name; a schema that uses such a word stays whole."""
    schema = {"type": "object", "properties": {"cache_control": {"type": "string"}}}
    conversation = Conversation(
        "m",
        (Turn(Role.USER, (Text("a", _MARK), Text("b"))), Turn(Role.ASSISTANT, (Thinking("t", "s"), Text("c")))),
        tools=(Tool("f", schema=schema, cache_control=_MARK),),
        sampling=Sampling(top_k=5),
    )
    rendered = CODEC.render_request(conversation, max_output_tokens=1)
    before = repr(rendered)
    documented = only_documented(rendered)
    assert documented.dropped == ("top_k", "cache_control", "thinking")
    assert documented.body == {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    assert repr(rendered) == before
