"""A model and the search over it as a typed document: what an arm may write for each strategy.

Ranges are those of the searches themselves, by :mod:`gateway.domain.search_sizes`. A parameter that the
arm's strategy does not take is an error, since it would change nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.domain.arm import Strategy
from gateway.domain.effort import LEVELS
from gateway.domain.search_sizes import COUNT, NEEDS_VERIFIER, SHARE, SIZE, SIZES, TEMPERATURE
from gateway.policy.forms import Name, OrElse, Strict, Words
from gateway.policy.strategies import TAKEN
from gateway.yaml_text import nearest

_Size: TypeAlias = Annotated[int, Field(strict=True, ge=SIZE.least, le=SIZE.most)]
_Count: TypeAlias = Annotated[int, Field(strict=True, ge=COUNT.least, le=COUNT.most)]
_Share: TypeAlias = Annotated[float, Field(strict=True, ge=SHARE.least, le=SHARE.most)]
_Temperature: TypeAlias = Annotated[float, Field(strict=True, ge=TEMPERATURE.least, le=TEMPERATURE.most)]
_Flag: TypeAlias = Annotated[bool, Field(strict=True)]

_MARKS: Final = ("blank_line", "newline")


class StepDocument(Strict):
    """What ends a step: a mark in the text or a tag, and in any case so many tokens."""

    mark: Literal["blank_line", "newline"] | None = None
    tag: Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")] | None = None
    tokens: _Size | None = None

    @model_validator(mode="after")
    def _ends_somewhere(self) -> StepDocument:
        if self.mark is not None and self.tag is not None:
            raise ValueError("a step ends at a mark or at a tag, and not at both")
        if self.mark is None and self.tag is None and self.tokens is None:
            raise ValueError("write blank_line, newline, {tag: …} or {tokens: …}")
        return self

    @property
    def plain(self) -> str | dict[str, Any]:
        """The shortest form in which it can be written."""
        if self.mark is not None and self.tokens is None:
            return str(self.mark)
        return self.model_dump(exclude_none=True)


def _step(value: object) -> object:
    if isinstance(value, str) and value not in _MARKS:
        raise ValueError(f"a step ends at {' or '.join(_MARKS)}, or write {{tag: …}} or {{tokens: …}}")
    return {"mark": value} if isinstance(value, str) else value


_Step: TypeAlias = Annotated[StepDocument | None, BeforeValidator(_step), OrElse({"enum": list(_MARKS)})]


class SearchDocument(Strict):
    """A model at some effort or with thinking tokens, and a search over it.

    Of several models the first that is configured is taken; so of those in ``draft``, the small model
    that writes where it is sure.
    """

    model: Words | None = None
    effort: str | None = Field(default=None, json_schema_extra={"enum": list(LEVELS)})
    thinking_tokens: int | None = Field(default=None, ge=0, le=1_000_000)
    strategy: Literal[
        "greedy", "vote", "best_of_n", "beam", "dvts", "mcts", "revise", "draft", "decompose", "repair"
    ] = "greedy"
    samples: _Size | Literal["auto"] | None = None
    max_samples: _Size | None = None
    schedule: Literal["auto", "sequential", "staged", "concurrent"] | None = None
    stop: Literal["never", "unbeatable", "beta", "forecast", "conformal"] | None = None
    confidence: _Share | None = None
    futile_after: _Size | None = None
    weighted: _Flag | None = None
    accept: _Share | None = None
    reject_below: _Share | None = None
    reject_quantile: _Share | None = None
    reject_after: _Size | None = None
    redraws: _Count | None = None
    beams: _Size | None = None
    expand: _Size | None = None
    groups: _Size | None = None
    depth: _Size | None = None
    lookahead: _Count | None = None
    simulations: _Size | None = None
    parallel: _Size | None = None
    exploration: _Share | None = None
    widening: _Size | None = None
    visit_floor: _Size | None = None
    rounds: _Count | None = None
    sure: _Share | None = None
    patience: _Size | None = None
    parts: _Size | None = None
    part_samples: _Size | None = None
    floor: _Share | None = None
    fall: _Share | None = None
    temperature: _Temperature | None = None
    step: _Step = None
    draft: Words | None = None
    verifier: Name | None = None

    @field_validator("effort")
    @classmethod
    def _is_a_level(cls, value: str | None) -> str | None:
        if value is not None and value not in LEVELS:
            raise ValueError(f"effort is one of {', '.join(LEVELS)}")
        return value

    def check_strategy(self) -> None:
        """Raise ValueError for what does not go together, or what the strategy does not take."""
        if self.effort is not None and self.thinking_tokens is not None:
            raise ValueError("an arm has either an effort or thinking_tokens; a model takes one of them")
        strategy = Strategy(self.strategy)
        taken = TAKEN[strategy]
        for name in sorted(_ALL):
            if getattr(self, name) is not None and name not in taken:
                others = ", ".join(each for each in TAKEN if name in TAKEN[each])
                valid = nearest(name, sorted(taken))
                raise ValueError(f"strategy {strategy} does not take {name}, which belongs to {others}; {valid}")
        if strategy in NEEDS_VERIFIER and self.verifier is None:
            raise ValueError(f"strategy {strategy} needs a verifier to choose between steps")
        if strategy is Strategy.DRAFT and self.draft is None:
            raise ValueError("strategy draft needs draft: the small model that writes the steps of which it is sure")
        if strategy is Strategy.DVTS:
            self._check_groups()

    def _check_groups(self) -> None:
        sizes = SIZES[Strategy.DVTS]
        groups = sizes["groups"] if self.groups is None else self.groups
        beams = sizes["beams"] if self.beams is None else self.beams
        if groups > beams:
            raise ValueError(f"{groups} groups need at least as many beams, and there are {beams}")

    @property
    def parameters(self) -> dict[str, Any]:
        """What the strategy is told, and ``step`` in its plain form; only what is written."""
        written = {name: value for name in sorted(_ALL - {"draft"}) if (value := getattr(self, name)) is not None}
        if self.step is not None:
            written["step"] = self.step.plain
        return written


_ALL: Final = frozenset.union(*TAKEN.values())
