"""How hard to think, in words and in tokens, and the way from one to the other.

Providers that take words say nothing of tokens, and providers that take tokens know no words. One
page translates between them: Google's, of its OpenAI-compatible API (ai.google.dev/gemini-api/docs/openai),
gives ``low`` 1,024, ``medium`` 8,192 and ``high`` 24,576 thinking tokens. The rest continues it:
``minimal`` is the least that every Gemini 2.5 takes, ``xhigh`` the most that any of them does, and
``max`` has no number, as it means that nothing is held back.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

OFF: Final = "none"
LEVELS: Final = (OFF, "minimal", "low", "medium", "high", "xhigh", "max")
"""The efforts that an arm may have, weakest first."""

_TOKENS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768}


def tokens_of(level: str) -> int | None:
    """The thinking tokens that a level stands for where only a number is taken; None for ``max``: no limit."""
    return 0 if level == OFF else _TOKENS.get(level)


def level_of(tokens: int) -> str:
    """The highest level that stands for no more than ``tokens``: a number is a ceiling, and stays one."""
    if tokens <= 0:
        return OFF
    fitting = [level for level, size in _TOKENS.items() if size <= tokens]
    return fitting[-1] if fitting else "minimal"


def nearest(level: str, taken: Collection[str]) -> str | None:
    """The level of ``taken`` that is nearest; of two equally near, the higher. None where nothing comes near.

    To think less is not to think at all, so ``none`` only ever stands for itself.
    """
    if level in taken:
        return level
    thinking = [each for each in LEVELS if each in taken and each != OFF]
    if not thinking or level == OFF:
        return None
    wanted = LEVELS.index(level)
    return min(thinking, key=lambda each: (abs(LEVELS.index(each) - wanted), -LEVELS.index(each)))


def at_most(level: str, taken: Collection[str]) -> str | None:
    """The highest level of ``taken`` that is not above ``level``, or else the lowest; None where there is none."""
    if level in taken:
        return level
    thinking = [each for each in LEVELS if each in taken and each != OFF]
    if not thinking or level == OFF:
        return None
    below = [each for each in thinking if LEVELS.index(each) <= LEVELS.index(level)]
    return below[-1] if below else thinking[0]
