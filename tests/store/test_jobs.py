"""Tests of gateway/store/jobs.py, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.domain.background import Claim, Job, JobState, Outcome
from gateway.store.base import Database
from gateway.store.connections import Connections
from gateway.store.jobs import Jobs
from tests.store.records import NOON

LEASE_S = 30.0
DONE = Outcome(JobState.COMPLETED, 200, "0199-request", b'{"id": "resp_1"}', "resp_1")


@pytest.fixture(name="connections")
async def _connections(database: Database) -> AsyncIterator[Connections]:
    connections = Connections(database, most=8)
    yield connections
    await connections.close()


@pytest.fixture(name="jobs")
def _jobs(connections: Connections) -> Jobs:
    return Jobs(connections, "one")


def _job(job_id: str, key_id: str = "k1", **terms: Any) -> Job:
    given: dict[str, Any] = {"created_at": NOON, "deadline_at": NOON + 3600, "model": "m", **terms}
    return Job(job_id, key_id, "/v1/responses", body=b'{"model": "m"}', headers={"openai-beta": "x"}, **given)


async def _claim(jobs: Jobs, most: int = 10, *, now: float = NOON, at_rest: tuple[str, ...] = ()) -> list[Claim]:
    return await jobs.claim(now=now, lease_s=LEASE_S, most=most, at_rest=at_rest)


async def test_a_job_comes_back_as_it_was_stored(jobs: Jobs) -> None:
    """What was added is what is claimed, once."""
    await jobs.add(_job("a"))
    (claim,) = await _claim(jobs)
    assert (claim.job, claim.number, claim.losses) == (_job("a"), 1, 0)
    assert await _claim(jobs) == []


async def test_a_job_is_one_process_s_at_a_time(jobs: Jobs, connections: Connections) -> None:
    """Of many processes that claim at once each gets jobs that no other gets, and none is left."""
    for number in range(20):
        await jobs.add(_job(f"j{number}", f"k{number % 3}"))
    others = [Jobs(connections, f"p{number}") for number in range(4)]
    found: list[str] = []
    for _ in range(20):
        for claims in await asyncio.gather(*(_claim(other, 3) for other in others)):
            found += [claim.job.id for claim in claims]
    assert sorted(found) == sorted(f"j{number}" for number in range(20))


async def test_keys_take_turns(jobs: Jobs) -> None:
    """A key with many jobs does not hold up one with few; and a key's responses come before its lines."""
    for number in range(10):
        await jobs.add(_job(f"a{number}", "a", batch_id="b", line=number, custom_id=str(number)))
    await jobs.add(_job("own", "a", created_at=NOON + 1))
    await jobs.add(_job("b0", "b"))
    first = await _claim(jobs, 2, now=NOON + 2)
    assert {claim.job.id for claim in first} == {"own", "b0"}
    assert {claim.job.key_id for claim in await _claim(jobs, 20, now=NOON + 2)} == {"a"}


async def test_what_rests_is_left_alone(jobs: Jobs) -> None:
    """Jobs of a key or a model at rest are not taken, and those that are not due neither."""
    await jobs.add(_job("a", "k1"))
    await jobs.add(_job("b", "k2", model="n"))
    await jobs.add(_job("c", "k3", created_at=NOON + 5))
    assert await _claim(jobs, at_rest=("k1", "n")) == []
    assert [claim.job.id for claim in await _claim(jobs, at_rest=("n",))] == ["a"]
    assert {claim.job.id for claim in await _claim(jobs, now=NOON + 5)} == {"b", "c"}


async def test_a_lost_lease_is_taken_and_the_loser_changes_nothing(jobs: Jobs, connections: Connections) -> None:
    """After its lease a job is another's; what the first one learned late is not kept."""
    await jobs.add(_job("a"))
    (first,) = await _claim(jobs)
    other = Jobs(connections, "two")
    assert await _claim(other, now=NOON + LEASE_S - 1) == []
    (second,) = await _claim(other, now=NOON + LEASE_S)
    assert (second.number, second.losses) == (2, 1)
    assert await jobs.renew([first], until=NOON + 99) == set()
    assert not await jobs.finish(first, DONE, now=NOON + 31, kept_until=NOON + 99)
    assert not await jobs.put_back(first, due_at=NOON)
    assert await other.renew([second], until=NOON + 99) == {"a"}
    assert await other.finish(second, DONE, now=NOON + 31, kept_until=NOON + 99)
    assert not await other.finish(second, DONE, now=NOON + 31, kept_until=NOON + 99)


async def test_an_ended_job_has_its_result_and_not_its_request(jobs: Jobs) -> None:
    """The result stays for its time, and the request is gone with the end."""
    await jobs.add(_job("a"))
    (claim,) = await _claim(jobs)
    await jobs.finish(claim, DONE, now=NOON + 1, kept_until=NOON + 60)
    standing = await jobs.find("a", "k1", now=NOON + 59)
    assert standing is not None
    assert (standing.state, standing.result, standing.status, standing.job.body) == (
        JobState.COMPLETED, DONE.body, 200, b""
    )  # fmt: skip
    assert await jobs.answer_id("a", "k1") == "resp_1"
    assert await jobs.find("a", "k2", now=NOON) is None
    assert await jobs.find("a", "k1", now=NOON + 60) is None
    assert await jobs.delete_ended(now=NOON + 60) == 1


async def test_a_job_put_back_is_taken_again_when_due(jobs: Jobs) -> None:
    """A job put back waits until it is due, is no longer his who had it, and its losses stay none."""
    await jobs.add(_job("a"))
    (claim,) = await _claim(jobs)
    assert await jobs.put_back(claim, due_at=NOON + 7)
    assert await jobs.renew([claim], until=NOON + 99) == set()
    assert not await jobs.finish(claim, DONE, now=NOON, kept_until=NOON + 99)
    assert await _claim(jobs, now=NOON + 6) == []
    (again,) = await _claim(jobs, now=NOON + 7)
    assert (again.number, again.losses) == (2, 0)


async def test_a_cancelled_job_is_nobody_s(jobs: Jobs) -> None:
    """Cancelling takes a job from whoever works on it; only its own key can, and only once."""
    await jobs.add(_job("a"))
    (claim,) = await _claim(jobs)
    assert not await jobs.cancel("a", "k2", now=NOON, kept_until=NOON + 9)
    assert await jobs.cancel("a", "k1", now=NOON, kept_until=NOON + 9)
    assert not await jobs.cancel("a", "k1", now=NOON, kept_until=NOON + 9)
    assert await jobs.renew([claim], until=NOON + 99) == set()
    assert not await jobs.finish(claim, DONE, now=NOON, kept_until=NOON + 9)


async def test_what_waited_too_long_expires(jobs: Jobs) -> None:
    """A response that nobody took before its deadline is expired; one that is being answered is not."""
    for name in ("a", "b"):
        await jobs.add(_job(name, deadline_at=NOON + 10))
    (taken,) = await _claim(jobs, 1)
    assert await jobs.expire(now=NOON + 9, kept_until=NOON + 99) == 0
    assert await jobs.expire(now=NOON + 10, kept_until=NOON + 99) == 1
    (other,) = {"a", "b"} - {taken.job.id}
    standing = await jobs.find(other, "k1", now=NOON + 11)
    assert standing is not None
    assert standing.state is JobState.EXPIRED


async def test_a_deleted_job_is_gone(jobs: Jobs) -> None:
    """Its key forgets a job, ended or not, and nobody else can."""
    await jobs.add(_job("a"))
    assert not await jobs.delete("a", "k2")
    assert await jobs.delete("a", "k1")
    assert not await jobs.delete("a", "k1")
