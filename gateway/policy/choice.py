"""Which arm a policy wants for an ask, before anything speaks against it; and which neighbour is explored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.domain.construction import quick_value
from gateway.domain.prediction import Difficulty
from gateway.domain.profile import Profile, ProfileVersion
from gateway.policy.conditions import View
from gateway.policy.document import GAIN
from gateway.policy.exploring import is_too_risky, predicted_success
from gateway.policy.options import Option
from gateway.policy.ready import ReadyRule
from gateway.policy.survey import Survey


@quick_value
class Choice:
    """The wanted arm and why. ``among`` are the arms whose neighbours may be explored; empty for none."""

    arm: str
    reason: str
    among: tuple[str, ...] = ()
    profile_version: int | None = None


@quick_value
class Belief:
    """What is believed of the ask: nothing, where the prediction is not sure."""

    is_sure: bool
    difficulty: Difficulty | None


def choose(survey: Survey, rule: ReadyRule | None, profile: Profile | None, belief: Belief) -> Choice:
    """The arm that the conversation, the rule, the profile or the predicted gain asks for."""
    policy = survey.policy
    kept = _kept(survey)
    if kept is not None:
        return kept
    reference = policy.reference or policy.default_arm
    if rule is None:
        if not belief.is_sure:
            return Choice(reference, "nobody is sure what kind of ask this is, so the reference arm answers")
        return Choice(policy.default_arm, "no rule applies, so the default arm answers")
    if rule.arm is not None:
        return Choice(rule.arm, f"rule '{rule.name}' names it")
    if not belief.is_sure:
        return Choice(reference, f"rule '{rule.name}' applies, and nobody is sure of the category: the reference arm")
    if rule.is_calibrated:
        return _calibrated(survey, rule, profile, belief)
    return _by_gain(survey, rule)


def _kept(survey: Survey) -> Choice | None:
    """The arm that the conversation already has, if it still can be used: caches and signatures depend on it."""
    name = survey.situation.snapshots.sticky_arm
    if name is None or name not in survey.policy.arms:
        return None
    is_loop = survey.situation.facts.is_tool_turn
    if not (survey.policy.is_sticky or is_loop) or survey.option(name) is None:
        return None
    return Choice(name, "a tool loop is not rerouted" if is_loop else "the conversation keeps its arm")


def _calibrated(survey: Survey, rule: ReadyRule, profile: Profile | None, belief: Belief) -> Choice:
    snapshots = survey.situation.snapshots
    version = None if profile is None else profile.version_for(snapshots.canary_bucket)
    category = survey.situation.facts.prediction.category
    name, why = certified_arm(version, rule, category, belief.difficulty, now=snapshots.now)
    if version is not None and name is not None:
        if name in survey.policy.arms:
            return Choice(name, f"rule '{rule.name}': {why}", rule.among, version.number)
        why = f"profile {version.number} certifies nothing for {_cell(category, belief.difficulty)}"
    start = rule.start[belief.difficulty or "unknown"]
    if start == GAIN:
        gained = _by_gain(survey, rule)
        return Choice(gained.arm, f"{gained.reason}; {why}", rule.among)
    return Choice(start, f"rule '{rule.name}': {why}, and until then it is {start}", rule.among)


def certified_arm(
    version: ProfileVersion | None, rule: ReadyRule, category: str, difficulty: str | None, *, now: float
) -> tuple[str | None, str]:
    """The arm that a version certifies for such an ask under a rule, and why it does; None and why not, where none."""
    if version is None:
        return None, "nothing is certified yet"
    certified = version.rules.get(rule.name)
    if now >= version.expires_at:
        return None, f"profile {version.number} has expired"
    if certified is None or certified.rule_digest != rule.certificate_digest:
        return None, f"profile {version.number} does not certify this rule as it is now"
    name = certified.arm_for(category, difficulty)
    cell = _cell(category, difficulty)
    if name is None:
        return None, f"profile {version.number} certifies nothing for {cell}"
    return name, f"profile {version.number} certifies it for {cell}"


def _by_gain(survey: Survey, rule: ReadyRule) -> Choice:
    """The first arm predicted to succeed within ``loss_at_most`` of the reference's own success."""
    policy = survey.policy
    reference = policy.reference or policy.default_arm
    facts = survey.situation.facts
    expected = predicted_success(facts, policy.arms[reference].arm)
    if expected is None:
        reason = f"rule '{rule.name}': the reference's success is not predicted, so the reference arm answers"
        return Choice(reference, reason)
    needed = expected - rule.loss_at_most
    for option in survey.usable(rule.among):
        arm = option.arm.arm
        success = predicted_success(facts, arm)
        if success is None:
            survey.passed_over[arm.name] = "its success is not predicted: it says neither like: weak nor like: strong"
        elif success >= needed:
            reason = (
                f"rule '{rule.name}': predicted to succeed with {success:.2f}, the reference with {expected:.2f}, "
                f"and {rule.loss_at_most:g} less is enough"
            )
            return Choice(arm.name, reason)
        else:
            survey.passed_over[arm.name] = f"predicted to succeed with {success:.2f}, and {needed:.2f} is needed"
    return Choice(reference, f"rule '{rule.name}': no cheaper arm is predicted to do as well as the reference")


def _cell(category: str, difficulty: str | None) -> str:
    return category if difficulty is None else f"{category}, {difficulty}"


def explore(survey: Survey, choice: Choice, taken: Option, view: View, u: float) -> tuple[Option, Mapping[str, float]]:
    """The arm that ``u`` draws, and the exact probability of each that could have been drawn.

    The policy's share is split evenly among the neighbours of the chosen arm, the next cheaper and
    the next dearer that could answer; ``u`` below the share draws one of them. A neighbour that is too
    risky has no chance, and no dearer one has any while the day's money for exploring is spent.
    """
    policy, situation = survey.policy, survey.situation
    alone = {taken.arm.arm.name: 1.0}
    if policy.explore_never and all(test(view) for test in policy.explore_never):
        return taken, alone
    if choice.arm not in choice.among:
        return taken, alone
    place = choice.among.index(choice.arm)
    cheaper = _first_usable(survey, reversed(choice.among[:place]))
    dearer = _first_usable(survey, choice.among[place + 1 :]) if situation.snapshots.may_explore_dearer else None
    neighbours = [
        option
        for option in (cheaper, dearer)
        if option is not None and not is_too_risky(policy, situation.facts, taken.arm.arm, option.arm.arm)
    ]
    if not neighbours:
        return taken, alone
    each = policy.explore_share / len(neighbours)
    propensities = {option.arm.arm.name: each for option in neighbours}
    propensities[taken.arm.arm.name] = 1.0 - policy.explore_share
    drawn = taken if u >= policy.explore_share else neighbours[min(int(u / each), len(neighbours) - 1)]
    return drawn, propensities


def _first_usable(survey: Survey, names: Iterable[str]) -> Option | None:
    return next((option for name in names if (option := survey.option(name)) is not None), None)
