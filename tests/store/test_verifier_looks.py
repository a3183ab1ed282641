"""Looks at verifiers, the caps in force because of them, and lifting one; on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Conflict, NotFound
from gateway.search.verifier_look import Look, look_at
from gateway.store.changes import Changes
from gateway.store.verifier_looks import VerifierLooks
from tests.search.test_verifier_look import evidence
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

_FIRST = look_at("prm", evidence(12), 1)


def look(number: int, cap: int | None, *, verifier: str = "prm") -> Look:
    """A look that found this cap."""
    health = replace(_FIRST.health, cap=cap)
    return replace(_FIRST, verifier=verifier, number=number, digest=f"{verifier} {number}", health=health)


@pytest.fixture
def looks(changes: Changes) -> VerifierLooks:
    """None yet."""
    return VerifierLooks(changes)


async def test_a_look_comes_back_as_it_was_kept(looks: VerifierLooks) -> None:
    """With its figures, its cap, when and by whom; and is found by its samples."""
    assert await looks.latest() == {}
    kept = await looks.record(look(1, 4), OPERATOR)
    assert (kept.look, kept.cap, kept.in_force) == (look(1, 4), 4, 4)
    assert (kept.at, kept.by, kept.lifted_at, kept.lifted_by) == (OPERATOR.at, OPERATOR.id, None, None)
    other = await looks.record(look(1, None, verifier="judge"), OPERATOR)
    assert await looks.latest() == {"judge": other, "prm": kept}
    assert await looks.find("prm", "prm 1") == kept
    assert await looks.find("judge", "prm 1") is None
    assert [await looks.next_number(name) for name in ("prm", "judge", "new")] == [2, 2, 1]


async def test_a_cap_stays_until_another_is_found(looks: VerifierLooks) -> None:
    """A look that finds none has not shown that there need be none."""
    caps = [
        (await looks.record(look(number, cap), OPERATOR)).in_force for number, cap in enumerate((None, 4, None, 2), 1)
    ]
    assert caps == [None, 4, 4, 2]
    assert [each.look.number for each in await looks.history("prm", limit=3)] == [4, 3, 2]


async def test_a_cap_is_lifted_and_may_be_found_again(looks: VerifierLooks, changes: Changes) -> None:
    """A later look without a cap leaves it lifted; each change is in the audit log."""
    await looks.record(look(1, 4), OPERATOR)
    lifted = await looks.lift("prm", replace(OPERATOR, at=NOON + 9))
    assert (lifted.cap, lifted.in_force, lifted.lifted_at, lifted.lifted_by) == (4, None, NOON + 9, OPERATOR.id)
    assert (await looks.record(look(2, None), OPERATOR)).in_force is None
    assert (await looks.record(look(3, 8), OPERATOR)).in_force == 8
    entries = await changes.audit(limit=9, target="verifier:prm")
    assert [each.action for each in entries] == [
        "verifier.examine",
        "verifier.examine",
        "verifier.lift",
        "verifier.examine",
    ]
    assert (entries[2].before, entries[2].after) == ({"cap": 4}, {"cap": None})
    assert entries[0].after == {"cap": 8, "look": 3, "source": _FIRST.source}


async def test_what_cannot_be_lifted_is_refused(looks: VerifierLooks) -> None:
    """A verifier that was never examined, one without a cap, and one whose cap was lifted."""
    with pytest.raises(NotFound, match="'prm' was never examined"):
        await looks.lift("prm", OPERATOR)
    await looks.record(look(1, None), OPERATOR)
    with pytest.raises(Conflict, match="no cap in force"):
        await looks.lift("prm", OPERATOR)
    await looks.record(look(2, 4), OPERATOR)
    await looks.lift("prm", OPERATOR)
    with pytest.raises(Conflict, match="no cap in force"):
        await looks.lift("prm", OPERATOR)


async def test_each_look_has_a_number_of_its_own(looks: VerifierLooks) -> None:
    """Of two that looked at the same time the later one is told to look again, at its own part of the risk."""
    await looks.record(look(1, 4), OPERATOR)
    with pytest.raises(Conflict, match="by somebody else"):
        await looks.record(replace(look(1, 2), digest="other"), OPERATOR)
    assert [each.look.number for each in await looks.history("prm", limit=9)] == [1]
