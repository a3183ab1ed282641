"""Webhooks are told of profiles once: promoted, withdrawn, suspended, expired or lapsed."""

from __future__ import annotations

from gateway.adapters.webhook import make_webhook
from gateway.domain.notice import EVENTS, ProfileEvent
from gateway.domain.profile import Profile
from gateway.flow.lapses import LASTING_S
from gateway.store.profiles import Profiles
from tests.adapters.journal.samples import until
from tests.clock import SetClock
from tests.flow.active import active
from tests.heralding import HOUR_S, Make
from tests.hooked import SECRET, Receiver
from tests.policy.world import policy_of
from tests.policy.world import ready as ready_policy
from tests.store.profiles import document

pytest_plugins = ("tests.heralding_fixtures",)


def _told(receiver: Receiver) -> list[tuple[str, int, str]]:
    return [
        (message.json["type"], message.json["data"]["version"], message.json["data"]["reason"])
        for message in receiver.messages
    ]


async def test_the_ends_of_canaries_are_told_once(stage: Make, receiver: Receiver) -> None:
    """One that is withdrawn and one that is promoted, by either of two processes, signed and with the reason."""
    one, other = await stage(), await stage()
    rollouts = await one.publish(1, 2, 3)
    canary = await rollouts.begin_canary("default", 2, share=0.05, by=one.by())
    await rollouts.withdraw_canary(canary, reason="it loses more than 2 points", by=one.by())
    await until(lambda: len(receiver.messages) == 1)
    canary = await rollouts.begin_canary("default", 3, share=0.25, by=one.by())
    await rollouts.promote_canary(canary, reason="not worse", by=one.by())
    await until(lambda: len(receiver.messages) == 2)
    await until(lambda: one.count("sent") + other.count("sent") == 2)
    assert _told(receiver) == [
        ("profile.canary_withdrawn", 2, "it loses more than 2 points"),
        ("profile.canary_promoted", 3, "not worse"),
    ]
    withdrawn, promoted = receiver.messages
    assert withdrawn.is_genuine
    assert promoted.is_genuine
    assert (withdrawn.json["data"]["share"], withdrawn.json["data"]["in_force"]) == (0.05, 1)
    assert promoted.json["data"] == {
        "policy": "default",
        "version": 3,
        "in_force": 3,
        "reason": "not worse",
        "share": 0.25,
        "time": "2026-11-22T12:00:00.000+00:00",
    }


async def test_an_alarm_is_told_with_the_canary_that_it_ended(stage: Make, receiver: Receiver) -> None:
    """A suspension says which version, why, and that none is in force; to go back by hand is no suspension."""
    gateway = await stage()
    rollouts = await gateway.publish(1, 2)
    await rollouts.roll_back("default", reason="by hand", by=gateway.by())
    await rollouts.activate("default", 1, reason="by hand", by=gateway.by())
    await rollouts.begin_canary("default", 2, share=0.05, by=gateway.by())
    await rollouts.suspend("default", 1, reason="drift: think does worse on math", by=gateway.by())
    await until(lambda: len(receiver.messages) == 2)
    assert sorted(_told(receiver)) == [
        ("profile.canary_withdrawn", 2, "drift: think does worse on math"),
        ("profile.suspended", 1, "drift: think does worse on math"),
    ]
    assert {message.json["data"]["in_force"] for message in receiver.messages} == {None}


async def test_an_alarm_while_no_gateway_ran_is_told_at_the_next_start(
    stage: Make, receiver: Receiver, clock: SetClock
) -> None:
    """Within a day, and not again by a later start; what is older is past telling."""
    first = await stage()
    rollouts = await first.publish(1, 2)
    await first.herald.close(within_s=5)
    await rollouts.suspend("default", 1, reason="drift", by=first.by())
    clock.at += 23 * HOUR_S
    second = await stage()
    await until(lambda: second.count("sent") == 1)
    await second.herald.close(within_s=5)
    third = await stage()
    canary = await rollouts.begin_canary("default", 2, share=0.05, by=first.by())
    await rollouts.withdraw_canary(canary, reason="it harms", by=third.by())
    await until(lambda: len(receiver.messages) == 2)
    assert [event for event, _, _ in _told(receiver)] == ["profile.suspended", "profile.canary_withdrawn"]
    for gateway in (second, third):
        assert gateway.count("given_up") == 0
    clock.at += 25 * HOUR_S
    new = make_webhook(f"{receiver.address}/new", SECRET, EVENTS, allow_private=False)
    third.herald.tell([new])
    canary = await rollouts.begin_canary("default", 2, share=0.05, by=third.by())
    await rollouts.withdraw_canary(canary, reason="again", by=third.by())
    await until(lambda: len(receiver.messages) == 3)
    assert _told(receiver)[2] == ("profile.canary_withdrawn", 2, "again")


async def test_a_certificate_that_expires_in_force_is_told_once(
    stage: Make, receiver: Receiver, clock: SetClock
) -> None:
    """At its time, however late it is noticed; one whose place was taken before is not."""
    gateway = await stage()
    rollouts = await gateway.publish(1, 2)
    clock.at += HOUR_S / 2
    await Profiles(gateway.changes).publish(document(), number=3, expires_at=clock.at + HOUR_S, by=gateway.by())
    await rollouts.activate("default", 3, reason="calibrated", by=gateway.by())
    clock.at += HOUR_S / 2
    await rollouts.begin_canary("default", 2, share=0.05, by=gateway.by())
    await rollouts.roll_back("default", reason="it has expired", by=gateway.by())
    await until(lambda: len(receiver.messages) == 1)
    assert _told(receiver) == [("profile.canary_withdrawn", 2, "it has expired")]
    clock.at += 3 * 24 * HOUR_S
    await until(lambda: len(receiver.messages) == 2)
    event, version, reason = _told(receiver)[1]
    assert (event, version) == ("profile.expired", 3)
    assert "no other version" in reason
    assert receiver.messages[1].json["timestamp"] == "2026-11-22T13:30:00.000+00:00"
    assert receiver.messages[1].json["data"]["in_force"] is None


async def test_a_rule_that_is_not_what_was_certified_is_told(stage: Make, receiver: Receiver, clock: SetClock) -> None:
    """Once it has been so for a minute, with the rule; of many processes one tells it."""
    one, other = await stage(), await stage()
    version = document("work").version(4, expires_at=clock.at + HOUR_S)
    for each in (one, other):
        each.policies = {"work": active(ready_policy(policy_of()), Profile("work", version))}
    await one.spend("r1", "0.6", "0.6")
    await until(lambda: len(receiver.messages) == 1)
    clock.at += LASTING_S
    await until(lambda: len(receiver.messages) == 2)
    await until(lambda: one.count("sent") + other.count("sent") == 2)
    data = receiver.messages[1].json["data"]
    assert receiver.messages[1].json["type"] == "profile.lapsed"
    assert (data["policy"], data["version"], data["rule"], data["in_force"]) == ("work", 4, "checkable", 4)


async def test_profile_events_are_chosen_per_webhook(stage: Make, receiver: Receiver) -> None:
    """A webhook that asked for suspensions alone is told of no canary."""
    events = frozenset({ProfileEvent.SUSPENDED})
    gateway = await stage(make_webhook(f"{receiver.address}/hook", SECRET, events, allow_private=False))
    rollouts = await gateway.publish(1, 2)
    await rollouts.begin_canary("default", 2, share=0.05, by=gateway.by())
    await rollouts.suspend("default", 1, reason="drift", by=gateway.by())
    await until(lambda: gateway.count("sent") == 1)
    assert [event for event, _, _ in _told(receiver)] == ["profile.suspended"]
