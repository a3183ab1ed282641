"""Requests that a model cannot serve at all, whatever is done about its thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.thinking.draft import Draft
from gateway.adapters.thinking.exclusions import has_tools
from gateway.domain.capabilities import Capability, Taken
from gateway.domain.chat import Dialect


def obstacle(capability: Capability, dialect: Dialect, body: Mapping[str, Any]) -> str | None:
    """Why a model cannot serve a body in this dialect; None where it can."""
    draft = Draft(capability, dialect, body)
    if has_tools(draft) and capability.takes_tools is False:
        return "it takes no tools"
    if draft.is_chat and has_tools(draft) and capability.tools_in_chat is Taken.NEVER:
        return "it takes tools in the Responses API only"
    if not capability.thinks_unstreamed and not capability.can_stop_thinking and not draft.is_stream:
        return "it always thinks, and answers in streams only"
    return None
