"""A wish fitted to what a model takes: the level or the number to send, and how it differs."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.adapters.thinking.draft import Draft
from gateway.domain.capabilities import Control
from gateway.domain.effort import LEVELS, OFF, at_most, level_of, nearest, tokens_of
from gateway.domain.thinking import Wish


@dataclass(frozen=True, slots=True)
class Setting:
    """The thinking to ask for, in what the model takes; neither level nor number leaves it a mere on or off.

    A level may come beside a number, where the provider takes both.
    """

    is_on: bool
    level: str | None = None
    tokens: int | None = None


SWITCHED_OFF = Setting(is_on=False)


def fit(draft: Draft, wish: Wish) -> Setting:
    """The setting nearest to the wish; what differs is remarked in the draft."""
    if wish.is_off:
        return _off(draft, wish)
    if wish.thinking_tokens is not None:
        return _tokens(draft, wish, wish.thinking_tokens)
    return _effort(draft, wish, str(wish.effort))


def _levels(draft: Draft) -> tuple[str, ...]:
    """The levels that make the model think and that this dialect takes, weakest first."""
    capability = draft.capability
    hidden = capability.levels_only_in_responses if draft.is_chat else frozenset()
    return tuple(level for level in capability.levels if level != OFF and level not in hidden)


def _off(draft: Draft, wish: Wish) -> Setting:
    capability = draft.capability
    if capability.can_stop_thinking:
        return SWITCHED_OFF
    levels = _levels(draft)
    if levels:
        draft.remark(f"{wish.words} asked, but this model always thinks: sent effort {levels[0]}")
        return Setting(is_on=True, level=levels[0])
    if capability.budget is not None:
        least = capability.budget.least
        draft.remark(f"{wish.words} asked, but this model always thinks: sent {least} thinking tokens")
        return Setting(is_on=True, tokens=least)
    draft.remark(f"{wish.words} asked, but this model always thinks and takes no setting: sent nothing")
    return Setting(is_on=True)


def _effort(draft: Draft, wish: Wish, effort: str) -> Setting:
    levels = _levels(draft)
    sent = nearest(effort, levels)
    if needs_number(draft):
        tokens = _clipped(draft, tokens_of(effort))
        if tokens is None:
            draft.remark(f"{wish.words} sent as no limit on thinking tokens: this model takes a number")
        else:
            draft.remark(f"{wish.words} sent as {tokens} thinking tokens: this model takes a number")
        return Setting(is_on=True, level=sent, tokens=tokens)
    if sent is None:
        _remark_unsettable(draft, wish)
        return Setting(is_on=True)
    if sent != effort:
        draft.remark(
            f"{wish.words} sent as {sent}: {_relation(sent, levels, effort)} this model takes{_here(draft, effort)}"
        )
    return Setting(is_on=True, level=sent)


def _tokens(draft: Draft, wish: Wish, tokens: int) -> Setting:
    if draft.capability.budget is not None:
        clipped = _clipped(draft, tokens)
        if clipped is not None and clipped != tokens:
            bound = "least" if clipped > tokens else "most"
            draft.remark(f"{wish.words} sent as {clipped}: the {bound} this model takes")
        return Setting(is_on=True, tokens=clipped)
    if draft.capability.control is Control.PLAIN:
        _remark_unsettable(draft, wish)
        return Setting(is_on=True, tokens=tokens)
    level = at_most(level_of(tokens), _levels(draft))
    if level is None:
        _remark_unsettable(draft, wish)
        return Setting(is_on=True)
    draft.remark(f"{wish.words} sent as effort {level}: this model takes no number")
    return Setting(is_on=True, level=level)


def needs_number(draft: Draft) -> bool:
    """Whether thinking is switched on by a number only: no level does it."""
    capability = draft.capability
    if capability.budget is None:
        return False
    if capability.control is Control.ANTHROPIC:
        return not any(mode.value == "adaptive" for mode in capability.modes)
    return not _levels(draft)


def _clipped(draft: Draft, tokens: int | None) -> int | None:
    """The number within what the model takes; no number, for no limit, becomes the most that it takes."""
    budget = draft.capability.budget
    if budget is None or tokens is None:
        return budget.most if budget is not None else None
    most = tokens if budget.most is None else budget.most
    return max(budget.least, min(tokens, most))


def _remark_unsettable(draft: Draft, wish: Wish) -> None:
    if draft.capability.control is Control.ALWAYS:
        draft.remark(f"{wish.words} not sent: this model always thinks, and takes no setting")
    elif draft.capability.control is Control.PLAIN:
        draft.remark(f"{wish.words} sent as a system prompt: this model does not think by itself")
    else:
        draft.remark(f"{wish.words} sent as thinking on: this model takes neither level nor number")


def _relation(sent: str, levels: tuple[str, ...], effort: str) -> str:
    if sent == levels[-1] and LEVELS.index(sent) < LEVELS.index(effort):
        return "the highest"
    if sent == levels[0] and LEVELS.index(sent) > LEVELS.index(effort):
        return "the lowest"
    return "the nearest"


def _here(draft: Draft, effort: str) -> str:
    return " in Chat Completions" if draft.is_chat and effort in draft.capability.levels_only_in_responses else ""
