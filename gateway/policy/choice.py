"""Which arm a policy wants for an ask, before anything speaks against it; and which neighbour is explored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.domain.arm import Arm
from gateway.domain.construction import quick_value
from gateway.domain.prediction import Difficulty
from gateway.domain.profile import Profile
from gateway.policy.conditions import View
from gateway.policy.document import GAIN
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
    why = "nothing is certified yet"
    if version is not None:
        certified = version.rules.get(rule.name)
        if snapshots.now >= version.expires_at:
            why = f"profile {version.number} has expired"
        elif certified is None or certified.rule_digest != rule.certificate_digest:
            why = f"profile {version.number} does not certify this rule as it is now"
        else:
            category = survey.situation.facts.prediction.category
            name = certified.arm_for(category, belief.difficulty)
            if name is not None and name in survey.policy.arms:
                reason = f"rule '{rule.name}': profile {version.number} certifies it for {_cell(category, belief)}"
                return Choice(name, reason, rule.among, version.number)
            why = f"profile {version.number} certifies nothing for {_cell(category, belief)}"
    start = rule.start[belief.difficulty or "unknown"]
    if start == GAIN:
        gained = _by_gain(survey, rule)
        return Choice(gained.arm, f"{gained.reason}; {why}", rule.among)
    return Choice(start, f"rule '{rule.name}': {why}, and until then it is {start}", rule.among)


def _by_gain(survey: Survey, rule: ReadyRule) -> Choice:
    """The first arm predicted to succeed within ``loss_at_most`` of the reference's own success."""
    policy = survey.policy
    reference = policy.reference or policy.default_arm
    expected = _success(survey, policy.arms[reference].arm)
    if expected is None:
        reason = f"rule '{rule.name}': the reference's success is not predicted, so the reference arm answers"
        return Choice(reference, reason)
    needed = expected - rule.loss_at_most
    for option in survey.usable(rule.among):
        arm = option.arm.arm
        success = _success(survey, arm)
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


def _success(survey: Survey, arm: Arm) -> float | None:
    """The predicted success of an arm: its own, or that of the anchor it is like."""
    success = survey.situation.facts.prediction.success
    own = success.get(arm.name)
    return own if own is not None or arm.like is None else success.get(arm.like)


def _cell(category: str, belief: Belief) -> str:
    return category if belief.difficulty is None else f"{category}, {belief.difficulty}"


def explore(survey: Survey, choice: Choice, taken: Option, view: View, u: float) -> tuple[Option, Mapping[str, float]]:
    """The arm that ``u`` draws, and the exact probability of each that could have been drawn.

    The policy's share is split evenly among the neighbours of the chosen arm, the next cheaper and
    the next dearer that could answer; ``u`` below the share draws one of them.
    """
    policy = survey.policy
    alone = {taken.arm.arm.name: 1.0}
    if policy.explore_never and all(test(view) for test in policy.explore_never):
        return taken, alone
    if choice.arm not in choice.among:
        return taken, alone
    place = choice.among.index(choice.arm)
    cheaper = _first_usable(survey, reversed(choice.among[:place]))
    dearer = _first_usable(survey, choice.among[place + 1 :])
    neighbours = [option for option in (cheaper, dearer) if option is not None]
    if not neighbours:
        return taken, alone
    each = policy.explore_share / len(neighbours)
    propensities = {option.arm.arm.name: each for option in neighbours}
    propensities[taken.arm.arm.name] = 1.0 - policy.explore_share
    drawn = taken if u >= policy.explore_share else neighbours[min(int(u / each), len(neighbours) - 1)]
    return drawn, propensities


def _first_usable(survey: Survey, names: Iterable[str]) -> Option | None:
    return next((option for name in names if (option := survey.option(name)) is not None), None)
