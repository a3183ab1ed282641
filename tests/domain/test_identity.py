"""Request ids."""

from __future__ import annotations

import re
import uuid

from gateway.domain.identity import id_time, new_id, new_request_id


def test_an_id_is_a_uuid_of_version_7_for_its_moment() -> None:
    """The version, the variant and the milliseconds are where RFC 9562 wants them."""
    identity = uuid.UUID(new_request_id(1_795_318_569.123))
    assert identity.version == 7
    assert identity.variant == uuid.RFC_4122
    assert identity.int >> 80 == 1_795_318_569_123


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    """Later moments sort later as text, and one moment gives different ids."""
    early, late = new_request_id(1.000), new_request_id(1.001)
    assert early < late
    assert len({new_request_id(1.0) for _ in range(1000)}) == 1000


def test_an_id_tells_its_time() -> None:
    """To the millisecond, in whatever form it is written; what was not made from a time tells none."""
    made = new_request_id(1_795_318_569.1234)
    assert id_time(made) == id_time(made.upper()) == id_time(made.replace("-", "")) == 1_795_318_569.123
    assert id_time("b9a2cb0c-5d06-4a3b-8d0d-6a6a6a6a6a6a") is None
    assert id_time("chatcmpl-1") is None


def test_short_ids_sort_by_time() -> None:
    """Ids of keys and teams begin with what they are of, sort by their millisecond, and differ within it."""
    ids = [new_id("key", moment) for moment in (1.0, 1.001, 2_000_000_000.0)]
    assert ids == sorted(ids)
    assert len({new_id("team", 1.0) for _ in range(1_000)}) == 1_000
    assert all(re.fullmatch(r"key_[0-9a-f]{22}", each) for each in ids)
