"""The policy file as a typed document: what may stand in ``policy.yaml``, and what each part means.

References between its parts are checked by :mod:`gateway.policy.reading`.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.domain.prediction import Anchor, Difficulty
from gateway.domain.tiers import DEFAULT_CUTS
from gateway.policy.conditions import Conditions
from gateway.policy.forms import NAME, CategoryPath, Duration, Name, OrElse, Strict, Words
from gateway.policy.guard_document import GuardDocument
from gateway.policy.items_document import ItemsDocument
from gateway.policy.search_document import SearchDocument

CANARY: Final[tuple[float, ...]] = (0.01, 0.05, 0.25, 1)
"""The shares of conversations that a new profile has at its stages, where a policy does not say."""
EXPIRES_AFTER_S: Final = 30 * 86_400.0
"""For how long a certificate is believed, where a policy does not say."""

GAIN = "gain"
"""Where an arm is named before anything is certified, this word asks for the one that predicted gain chooses."""

ArmName: TypeAlias = Name
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Probability: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Dollars: TypeAlias = Annotated[
    Decimal, Field(gt=0, max_digits=15, decimal_places=9), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400)]


class ArmDocument(SearchDocument):
    """One way to answer: a model at some effort or with thinking tokens, a search over it, or a cascade of arms.

    Of several models the first that is configured is taken.
    """

    like: Anchor | None = None
    cascade: tuple[ArmName, ...] | None = Field(default=None, min_length=2)
    escalate_below: Probability | None = None
    carries: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _goes_together(self) -> ArmDocument:
        if (self.model is None) == (self.cascade is None):
            raise ValueError("an arm has either a model or a cascade")
        if self.cascade is not None:
            self._check_cascade()
            return self
        if self.escalate_below is not None or self.carries:
            raise ValueError("escalate_below and carries belong to a cascade")
        self.check_strategy()
        return self

    @property
    def is_search(self) -> bool:
        """Whether it may make more than one call; a cascade does."""
        return self.cascade is not None or self.strategy != "greedy"

    def _check_cascade(self) -> None:
        others = set(self.model_fields_set) - {"cascade", "escalate_below", "carries", "verifier", "like"}
        if others:
            raise ValueError(
                "a cascade takes escalate_below, carries, verifier and like, and not " + ", ".join(sorted(others))
            )
        if self.escalate_below is None:
            raise ValueError("a cascade needs escalate_below: how sure an answer must be, above 0 and below 1")


class DefaultsDocument(Strict):
    """What holds where no rule applies, and the ceilings of every ask. No cost ceiling is assumed: it is written."""

    arm: ArmName
    reference: ArmName
    max_cost_usd: Dollars
    deadline_s: Seconds | None = None
    fallbacks: tuple[ArmName, ...] = ()


def _everywhere(value: object) -> object:
    return dict.fromkeys([*Difficulty, "unknown"], value) if isinstance(value, str) else value


class StartDocument(Strict):
    """An arm, or the word ``gain``, for each difficulty; ``unknown`` is the reference unless it is written."""

    easy: ArmName
    medium: ArmName
    hard: ArmName
    very_hard: ArmName
    unknown: ArmName | None = None


Start: TypeAlias = Annotated[StartDocument, BeforeValidator(_everywhere), OrElse({"type": "string", "pattern": NAME})]


class CalibratedDocument(Strict):
    """The arm that the calibrated profile names for the ask's category and difficulty.

    ``among`` stands cheapest first. ``loss_at_most`` bounds the loss against the reference, of the
    whole rule's traffic, or with ``scope: cell`` of each category and difficulty, at ``confidence``.
    """

    among: tuple[ArmName, ...] = Field(min_length=1)
    loss_at_most: Probability
    confidence: Probability
    until_certified: Start
    scope: Literal["policy", "cell"] = "policy"


class GainDocument(Strict):
    """The first arm of ``among`` that is predicted to succeed nearly as often as the reference. No guarantee."""

    among: tuple[ArmName, ...] = Field(min_length=1)
    loss_at_most: Probability


class RuleDocument(Strict):
    """What is done with the asks that ``when`` describes; without it, with all. The first rule that applies wins."""

    name: str = Field(min_length=1, max_length=120)
    when: Conditions = Conditions()
    arm: ArmName | None = None
    calibrated: CalibratedDocument | None = None
    gain: GainDocument | None = None
    fallbacks: tuple[ArmName, ...] = ()
    max_cost_usd: Dollars | None = None
    deadline_s: Seconds | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> RuleDocument:
        forms = (self.arm, self.calibrated, self.gain)
        if sum(form is not None for form in forms) != 1:
            raise ValueError("a rule has exactly one of arm, calibrated and gain")
        return self


class CutsDocument(Strict):
    """The least predicted success of the weak anchor at each tier; below ``hard`` is very hard."""

    easy: Probability = DEFAULT_CUTS.easy
    medium: Probability = DEFAULT_CUTS.medium
    hard: Probability = DEFAULT_CUTS.hard

    @model_validator(mode="after")
    def _descends(self) -> CutsDocument:
        if not self.easy > self.medium > self.hard:
            raise ValueError("cut points descend: easy above medium above hard")
        return self


class LabelConditions(Strict):
    """Marks by which an application is known: ``system`` is its system prompt's SHA-256, ``hint`` its own label."""

    key: Words | None = None
    team: Words | None = None
    tag: dict[str, Words] | None = Field(default=None, min_length=1)
    system: Words | None = None
    hint: Words | None = None


class LabelDocument(Strict):
    """Asks of which the category, and perhaps the difficulty, is known without looking at the prompt."""

    when: LabelConditions
    category: CategoryPath
    difficulty: Difficulty | None = None

    @model_validator(mode="after")
    def _says_when(self) -> LabelDocument:
        if not self.when.model_fields_set:
            raise ValueError("when must name at least one of key, team, tag, system and hint")
        return self


class JudgeDocument(Strict):
    """A model that is asked for the category and difficulty, in one word each, within limits of its own."""

    model: Words
    deadline_s: Annotated[float, Field(gt=0, le=30)]
    max_cost_usd: Dollars


class ClassifyDocument(Strict):
    """Who says what kind of ask it is; the first of ``chain`` that is sure. Below ``unsure_below`` nobody is.

    An ask that nobody is sure of is answered by the reference arm, unless a rule applies that does
    not rely on predictions.
    """

    chain: tuple[Literal["rules", "learned", "llm"], ...] = ("rules", "learned")
    unsure_below: Share = 0.5
    rules: tuple[LabelDocument, ...] = ()
    llm: JudgeDocument | None = None

    @model_validator(mode="after")
    def _has_a_judge(self) -> ClassifyDocument:
        if len(set(self.chain)) != len(self.chain):
            raise ValueError("chain names each of rules, learned and llm at most once")
        if ("llm" in self.chain) != (self.llm is not None):
            raise ValueError("llm stands both in chain and as a mapping with model, deadline_s and max_cost_usd")
        return self


def _share(value: object) -> object:
    return {"share": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class ExploreDocument(Strict):
    """The share of calibrated asks that get a neighbour of the chosen arm; never those that ``never`` describes.

    Dearer neighbours cost at most ``spend_at_most_usd`` more a day (UTC), by default the policy's
    ``calibrate.spend_at_most_usd``. One that is predicted to succeed less often by more than ``loss_at_most`` is not
    tried: so exploring loses at most that times the share, where success is predicted.
    """

    share: Annotated[float, Field(ge=0, le=0.2)]
    never: Conditions | None = None
    spend_at_most_usd: Dollars | None = None
    loss_at_most: Probability = 0.5


Explore: TypeAlias = Annotated[
    ExploreDocument, BeforeValidator(_share), OrElse({"type": "number", "minimum": 0, "maximum": 0.2})
]


class VerifyDocument(Strict):
    """A share of the answers that a configured verifier scores afterwards, for at most so many dollars a day (UTC)."""

    share: Annotated[float, Field(gt=0, le=1)]
    by: str = Field(min_length=1)
    spend_at_most_usd: Dollars


class CalibrateDocument(Strict):
    """When arms are measured anew, on what, for how much, and how a new profile is brought out and expires.

    With ``wait`` a run asks in its providers' batches, at their price for them, until it has waited for so long.
    """

    every: Duration
    spend_at_most_usd: Dollars
    items: ItemsDocument = ItemsDocument()
    wait: Duration | None = None
    expires_after: Duration = Field(default=EXPIRES_AFTER_S, json_schema_extra={"default": "30d"})
    explore: Explore = ExploreDocument(share=0)
    canary: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=CANARY, min_length=1)
    guard: GuardDocument = GuardDocument()
    verify: VerifyDocument | None = None

    @model_validator(mode="after")
    def _ascends(self) -> CalibrateDocument:
        if list(self.canary) != sorted(set(self.canary)) or self.canary[-1] != 1:
            raise ValueError("canary shares ascend and end with 1")
        return self


class Mode(StrEnum):
    """Whether a policy decides, or only records what it would have decided."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class PolicyDocument(Strict):
    """The whole of ``policy.yaml``. Arms stand cheapest first."""

    policy: Name
    arms: dict[ArmName, ArmDocument] = Field(min_length=1)
    defaults: DefaultsDocument
    rules: tuple[RuleDocument, ...] = ()
    difficulty: CutsDocument = CutsDocument()
    classify: ClassifyDocument = ClassifyDocument()
    calibrate: CalibrateDocument | None = None
    mode: Mode = Mode.ENFORCE
    sticky: bool = True
    retry_empty: bool = True
    store_text: bool = False
