"""Checks of a run's answers: what can be checked here, looked at first, and what an answer scores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from calibrator.items.item import Item
from calibrator.judging import Judging
from gateway.domain.check import Check, CodeCheck, Kind, NamedCheck, PatternCheck, Program, TruthCheck
from gateway.errors import ConfigurationError
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.settings import GraderSettings, Settings
from gateway.verifier_settings import JudgeSettings
from gateway.wiring import catalog

ITEM = Item("a", ({"role": "user", "content": "2 + 2?"},), "math", "easy", TruthCheck(Kind.MATH, ("4",)))


def _settings(price: object) -> Settings:
    model = ModelSettings.model_validate({"upstream": "only", "price": price})
    return Settings(
        upstreams={"only": UpstreamSettings(kind="openai", base_url="http://127.0.0.1:9/v1")},
        models={"m": model},
        verifiers={"judge": JudgeSettings(kind="judge", model="m")},
    )


@pytest.fixture
async def judging() -> AsyncIterator[Judging]:
    """The checks of a configuration with a judge whose model costs money."""
    offered, _ = catalog(_settings({"input_per_mtok": 1, "output_per_mtok": 1}), {}, embedded_url=None)
    found = Judging(GraderSettings(), offered)
    yield found
    await found.close()


def _with(check: Check) -> Item:
    return replace(ITEM, check=check)


async def test_answers_are_right_or_wrong_by_the_items_own_check(judging: Judging) -> None:
    """By its final answer; an answer without a word is wrong."""
    assert await judging.score(ITEM, "Two and two is 4.\n\nAnswer: 4") == 1
    assert await judging.score(ITEM, "Answer: 5") == 0
    assert await judging.score(ITEM, " \n") == 0
    assert await judging.score(_with(PatternCheck("^f(ou)+r$")), "four") == 1


async def test_what_cannot_be_checked_here_is_told_before_anything_is_asked(judging: Judging) -> None:
    """With the item, and what would have to change."""
    await judging.check([ITEM, ITEM])
    with pytest.raises(ConfigurationError, match=r"item a: .*graders\.code in ponder\.yaml"):
        await judging.check([_with(CodeCheck((Program("", "4"),)))])
    with pytest.raises(ConfigurationError, match=r"item a: 'ponder\.verify\.pattern' is refused"):
        await judging.check([_with(PatternCheck("(("))])
    with pytest.raises(ConfigurationError, match=r"item a: .*neither a check nor a configured verifier"):
        await judging.check([_with(NamedCheck("nobody"))])


async def test_a_verifier_is_taken_only_where_its_model_is_free(judging: Judging) -> None:
    """A run's cap holds what arms cost, and nothing besides."""
    with pytest.raises(ConfigurationError, match="verifier 'judge' calls a model that is not free"):
        await judging.check([_with(NamedCheck("judge"))])
    offered, _ = catalog(_settings("free"), {}, embedded_url=None)
    free = Judging(GraderSettings(), offered)
    await free.check([_with(NamedCheck("judge"))])
    await free.close()
    assert _with(NamedCheck("judge")).is_binary is False
