"""What is wrong with a policy, or looks wrong, beside these models: each finding with its line and its remedy.

What makes a policy invalid in itself is told by :func:`gateway.policy.reading.read_policy`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway import yaml_text
from gateway.domain.bound import as_usd
from gateway.domain.model import Model
from gateway.domain.money import show
from gateway.policy.arms import ReadyArm
from gateway.policy.cases import CasesDocument, run_cases
from gateway.policy.document import GAIN, RuleDocument
from gateway.policy.overlap import covers
from gateway.policy.reading import Location, Policy, references
from gateway.policy.ready import ReadyPolicy


class Severity(StrEnum):
    """Whether a policy cannot be used as it is, or only is not what it seems."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; ``remedy`` says what would mend it."""

    severity: Severity
    line: int
    place: str
    message: str
    remedy: str


def check(
    policy: Policy,
    ready: ReadyPolicy,
    models: Mapping[str, Model],
    cases: CasesDocument | None,
    *,
    verifiers: Collection[str] = (),
    keeps_text: bool = False,
) -> tuple[Finding, ...]:
    """All findings, in the order of their lines. ``cases`` is None for a policy that has none.

    ``verifiers`` are the names of those that are configured; ``keeps_text``: whether texts are stored whatever the
    policy says.
    """
    _, root = yaml_text.parse(f"{policy.name}/policy.yaml", policy.text)
    found = [
        *_arms(policy, ready),
        *_prices(ready),
        *_ceilings(ready),
        *_fallbacks(policy),
        *_rules(policy),
        *_gains(policy),
        *_judge(policy, models),
        *_verification(policy, verifiers, keeps_text=keeps_text),
    ]
    found += _cases(policy, cases)
    findings = [
        Finding(severity, yaml_text.line_of(root, place), ".".join(map(str, place)), message, remedy)
        for severity, place, message, remedy in found
    ]
    return tuple(sorted(findings, key=lambda finding: finding.line))


_Found = tuple[Severity, Location, str, str]


def _warning(place: Location, message: str, remedy: str) -> _Found:
    return Severity.WARNING, place, message, remedy


def _arms(policy: Policy, ready: ReadyPolicy) -> Iterator[_Found]:
    if ready.reference is None:
        remedy = "configure one of the models, or name one that is (`ponder models list`)"
        yield Severity.ERROR, ("arms",), "no arm can be used, so every request is refused", remedy
    named = {name for _, name in references(policy.document)}
    for name, arm in ready.arms.items():
        place = ("arms", name)
        if arm.problem is not None:
            yield _warning(
                place,
                f"drops out: {arm.problem}",
                "nothing, if that is meant; `ponder models list` shows what is configured",
            )
        if name not in named:
            yield _warning(place, "is named by no rule, default, fallback or cascade", "use it, or take it out")
    reference = ready.arms[policy.document.defaults.reference]
    if reference.problem is not None and ready.reference is not None:
        message = f"{reference.arm.name} cannot be used; {ready.reference}, the dearest that can, is the reference"
        yield _warning(("defaults", "reference"), message, "name an arm that can be used, or configure its model")


def _prices(ready: ReadyPolicy) -> Iterator[_Found]:
    """Arms stand cheapest first: one that costs more than a later one is dominated, unless it is better."""
    single = [arm for arm in ready.arms.values() if arm.problem is None and not arm.is_search]
    for place, arm in enumerate(single):
        cheaper = next((later for later in single[place + 1 :] if later.typical_bound < arm.typical_bound), None)
        if cheaper is not None:
            yield _warning(
                ("arms", arm.arm.name),
                f"is dominated in price: {cheaper.arm.name}, which stands after it, costs less "
                f"({_typical(cheaper)} against {_typical(arm)} for 1,000 tokens in and out)",
                f"put {arm.arm.name} after {cheaper.arm.name}, or take out the one that answers worse",
            )


def _typical(arm: ReadyArm) -> str:
    return f"${show(as_usd(arm.typical_bound))}"


def _ceilings(ready: ReadyPolicy) -> Iterator[_Found]:
    for name, arm in ready.arms.items():
        least = 0
        for leg in arm.legs:
            if leg.standard is not None:
                least += leg.needed * arm.least_output_tokens * leg.standard.at(0).output
        if least > ready.max_cost:
            yield _warning(
                ("arms", name),
                f"never fits under max_cost_usd: its shortest answers may cost ${show(as_usd(least))}",
                "raise defaults.max_cost_usd, lower the arm's thinking_tokens, or take a cheaper model",
            )


def _fallbacks(policy: Policy) -> Iterator[_Found]:
    arms = policy.document.arms
    of_rules = [(("rules", index, "fallbacks"), rule.fallbacks) for index, rule in enumerate(policy.document.rules)]
    for place, names in ((("defaults", "fallbacks"), policy.document.defaults.fallbacks), *of_rules):
        for index, name in enumerate(names):
            if arms[name].is_search:
                yield _warning(
                    (*place, index),
                    f"{name} is a search, which is not asked once a call has failed: too little time and money is left",
                    "name an arm that makes one call, or take it out",
                )


def _rules(policy: Policy) -> Iterator[_Found]:
    rules = policy.document.rules
    for index, rule in enumerate(rules):
        for earlier in rules[:index]:
            if covers(earlier.when, rule.when):
                yield _warning(
                    ("rules", index),
                    f"rule '{rule.name}' is never reached: '{earlier.name}' takes all of its asks before",
                    f"put it before '{earlier.name}', or narrow that rule",
                )
                break


def _gains(policy: Policy) -> Iterator[_Found]:
    """Predicted gain speaks of anchors; an arm that is like neither is passed over until it has counts of its own."""
    arms = policy.document.arms
    for index, rule in enumerate(policy.document.rules):
        among = _by_gain(rule)
        silent = [name for name in (*among, policy.document.defaults.reference) if among and arms[name].like is None]
        if silent:
            yield _warning(
                ("rules", index),
                f"goes by predicted gain, and nothing is predicted of {', '.join(dict.fromkeys(silent))}",
                "write `like: weak` or `like: strong` in their arms",
            )


def _by_gain(rule: RuleDocument) -> tuple[str, ...]:
    if rule.gain is not None:
        return rule.gain.among
    if rule.calibrated is not None and GAIN in dict(rule.calibrated.until_certified).values():
        return rule.calibrated.among
    return ()


def _judge(policy: Policy, models: Mapping[str, Model]) -> Iterator[_Found]:
    judge = policy.document.classify.llm
    if judge is not None and not any(name in models for name in judge.model):
        message = f"none of {', '.join(judge.model)} is configured, so the learned classifier alone decides"
        yield _warning(("classify", "llm", "model"), message, "name a configured model, or take llm out of chain")


def _verification(policy: Policy, verifiers: Collection[str], *, keeps_text: bool) -> Iterator[_Found]:
    """Answers are verified afterwards, from their texts."""
    verify = policy.document.calibrate.verify if policy.document.calibrate else None
    if verify is None:
        return
    place = ("calibrate", "verify")
    if verify.by not in verifiers:
        message = f"there is no verifier {verify.by!r}, so nothing is verified"
        yield _warning((*place, "by"), message, "name one of `verifiers` in ponder.yaml")
    if not (keeps_text or policy.document.store_text):
        message = "no text of answers is kept, so there is nothing to verify"
        yield _warning(place, message, "write `store_text: true` in the policy, or set retention.store_text")


def _cases(policy: Policy, cases: CasesDocument | None) -> list[_Found]:
    if cases is None:
        remedy = "write cases.yaml beside it: docs/write-a-policy.md"
        return (
            [_warning((), "has no cases, so nothing says what it is meant to do", remedy)]
            if policy.document.rules
            else []
        )
    return [
        _warning(
            ("rules", index),
            f"rule '{policy.document.rules[index].name}' changes the answer of no case",
            "add a case to cases.yaml that fails without it",
        )
        for index in idle_rules(policy, cases)
    ]


def idle_rules(policy: Policy, cases: CasesDocument) -> tuple[int, ...]:
    """The rules without which every case that passes would still pass."""
    rules = policy.document.rules
    passing = [result.has_passed for result in run_cases(policy, cases)]
    idle = []
    for index in range(len(rules)):
        without = policy.document.model_copy(update={"rules": (*rules[:index], *rules[index + 1 :])})
        if [result.has_passed for result in run_cases(replace(policy, document=without), cases)] == passing:
            idle.append(index)
    return tuple(idle)
