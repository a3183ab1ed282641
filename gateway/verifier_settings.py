"""``verifiers`` of ``ponder.yaml``: models that score the answers of a search, and how each is asked.

A verifier's ``model`` is one of ``models``; its upstream, price and credentials are used.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PLACEHOLDERS: Final = ("system", "question", "steps")
"""What a template may name, in braces."""

QWEN_TEMPLATE: Final = (
    "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
    "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{steps}<|im_end|><|endoftext|>"
)
"""As Qwen2.5-Math-PRM was trained: https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B."""
PLAIN_TEMPLATE: Final = "{question}\n\n{steps}"

NAMED: Final = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}")
"""A placeholder of a template, or doubled braces, which stand for single ones."""

StepsName: TypeAlias = Literal["each", "last", "none"]


class _Verifier(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str


class _Templated(_Verifier):
    """One whose model reads a text that a template makes of the ask and the answer."""

    scale: Literal["probability", "logit"] = "probability"
    batch: int = Field(default=32, ge=1, le=1024)

    @field_validator("template", check_fields=False)
    @classmethod
    def _names_what_there_is(cls, template: str) -> str:
        named = [match[1] for match in NAMED.finditer(template) if match[1]]
        unknown = next((name for name in named if name not in PLACEHOLDERS), None)
        if unknown is not None:
            raise ValueError(
                f"names {{{unknown}}}; it may name {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}, "
                "and doubled braces stand for braces"
            )
        if named.count("steps") != 1:
            raise ValueError("must name {steps} once")
        return template


class _Stepwise(_Templated):
    """One whose model gives one score for a text: asked anew for each step, or for the chain so far."""

    aggregation: Literal["min", "product", "mean", "last", "sum"] = "min"
    steps: StepsName = "each"
    max_steps: int = Field(default=32, ge=1, le=1024)
    step_tag: str = ""
    step_gap: str | None = None


class StepRewardsSettings(_Templated):
    """A process reward model with a head of its own, over vLLM's step pooling: one call scores every step."""

    kind: Literal["step_rewards"]
    aggregation: Literal["min", "product", "mean", "last", "sum"] = "min"
    template: str = QWEN_TEMPLATE
    step_tag: str = Field(default="<extra_0>", min_length=1)
    step_gap: str | None = None
    label: int | None = Field(default=None, ge=0)


class ClassifySettings(_Stepwise):
    """A classifier over vLLM's ``/classify``: the class of the chain so far is the score of its last step."""

    kind: Literal["classify"]
    template: str = PLAIN_TEMPLATE
    label: int | None = Field(default=None, ge=0)


class LabelSettings(_Stepwise):
    """A model whose next token is its word on a step: how likely one token is against another."""

    kind: Literal["label"]
    template: str
    labels: tuple[str, str] = ("+", "-")

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        right, wrong = (label.strip().casefold() for label in self.labels)
        if not right or not wrong or right == wrong:
            raise ValueError("labels are two different tokens: what is right, and what is wrong")
        return self


class LikelihoodWeights(BaseModel):
    """What ``ponder prm train --likelihood-of`` has found: the head over a language model's likelihoods."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias: float = Field(allow_inf_nan=False)
    step: float = Field(ge=0, allow_inf_nan=False)
    token: float = Field(ge=0, allow_inf_nan=False)


class LikelihoodSettings(_Templated):
    """A language model that reads the answer: what it held for unlikely is taken for wrong. One call scores all."""

    kind: Literal["likelihood"]
    aggregation: Literal["min", "product", "mean", "last", "sum"] = "last"
    template: str = PLAIN_TEMPLATE
    step_tag: str = ""
    step_gap: str | None = None
    batch: int = Field(default=8, ge=1, le=1024)
    weights: LikelihoodWeights

    @field_validator("template")
    @classmethod
    def _ends_with_steps(cls, template: str) -> str:
        if not template.endswith("{steps}"):
            raise ValueError("must end with {steps}")
        return template


class OutcomeSettings(_Templated):
    """An outcome reward model: one score for a whole answer."""

    kind: Literal["outcome"]
    endpoint: Literal["classify", "score"] = "classify"
    template: str = PLAIN_TEMPLATE
    label: int | None = Field(default=None, ge=0)


class JudgeSettings(_Verifier):
    """A chat model that is asked a question of yes or no about the answer."""

    kind: Literal["judge"]
    aggregation: Literal["min", "product", "mean", "last", "sum"] = "min"
    question: str = Field(default="Is the answer correct?", min_length=1)
    steps: StepsName = "none"
    max_steps: int = Field(default=8, ge=1, le=1024)
    max_output_tokens: int = Field(default=16, ge=1, le=4096)
    logprobs: bool | None = None


VerifierSettings: TypeAlias = Annotated[
    StepRewardsSettings | ClassifySettings | LabelSettings | LikelihoodSettings | OutcomeSettings | JudgeSettings,
    Field(discriminator="kind"),
]
KINDS: Final[tuple[type[BaseModel], ...]] = (
    StepRewardsSettings, ClassifySettings, LabelSettings, LikelihoodSettings, OutcomeSettings, JudgeSettings,
)  # fmt: skip
