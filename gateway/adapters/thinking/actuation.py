"""The whole way of a wish: fitted to the model, checked against the request, given room, written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.adapters.thinking.draft import Draft
from gateway.adapters.thinking.exclusions import drop_excluded, reason_not_to_think, thinks_anyway
from gateway.adapters.thinking.room import fit_budget
from gateway.adapters.thinking.setting import SWITCHED_OFF, Setting, fit
from gateway.adapters.thinking.writers import write
from gateway.domain.capabilities import Capability, Control, Shown
from gateway.domain.chat import Dialect
from gateway.domain.thinking import Actuation, Wish


def actuate(
    capability: Capability,
    dialect: Dialect,
    body: Mapping[str, Any],
    wish: Wish,
    *,
    max_output_tokens: int | None = None,
) -> Actuation:
    """What a wish does to a request body. Satisfies :class:`gateway.ports.ThinkingActuator`."""
    draft = Draft(capability, dialect, body)
    is_thinking = _leave(draft) if wish.is_empty else _wish(draft, wish, max_output_tokens)
    drop_excluded(draft, is_thinking=is_thinking and capability.control is not Control.PLAIN)
    return Actuation(
        changes=draft.changes,
        removals=tuple(draft.removals),
        requested=wish.record,
        sent=draft.sent,
        remaps=tuple(draft.remarks),
        reads_tags=is_thinking and (capability.shown is Shown.TAGGED or capability.control is Control.PLAIN),
    )


def _leave(draft: Draft) -> bool:
    """Nothing is wished: thinking stays as it is, unless the request could not be served with it."""
    if not thinks_anyway(draft):
        return False
    if not draft.capability.can_stop_thinking:
        return True
    reason = reason_not_to_think(draft, has_budget=draft.members("thinking").get("type") == "enabled")
    if reason is None:
        return True
    write(draft, SWITCHED_OFF)
    draft.remark(f"thinking switched off: {reason}")
    return False


def _wish(draft: Draft, wish: Wish, max_output_tokens: int | None) -> bool:
    before = len(draft.remarks)
    setting = fit(draft, wish)
    if setting.is_on:
        reason = reason_not_to_think(draft, has_budget=setting.tokens is not None)
        if reason is not None and draft.capability.can_stop_thinking:
            del draft.remarks[before:]
            draft.remark(f"{wish.words} sent as thinking off: {reason}")
            setting = SWITCHED_OFF
        else:
            setting = _with_room(draft, wish, setting, max_output_tokens)
    write(draft, setting)
    return setting.is_on


def _with_room(draft: Draft, wish: Wish, setting: Setting, max_output_tokens: int | None) -> Setting:
    if setting.tokens is None:
        return setting
    fitting = fit_budget(draft, setting.tokens, max_output_tokens)
    if fitting is not None:
        return replace(setting, tokens=fitting)
    room = f"the output limit of {draft.limit} leaves no room for more"
    if draft.capability.can_stop_thinking:
        draft.remark(f"{wish.words} sent as thinking off: {room}")
        return SWITCHED_OFF
    least = draft.capability.budget.least if draft.capability.budget is not None else 0
    draft.remark(f"{wish.words} sent as {least}: {room}, and this model always thinks")
    return replace(setting, tokens=least)
