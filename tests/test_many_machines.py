"""Three gateways, two workers and a beat on PostgreSQL and Redis: each killed, each way cut, while clients ask on.

While Redis is away keys with a budget are refused, as is the default: then no budget is ever overspent, however
slow the machine. ``TEST_CUT_S`` says for how long a way is cut. ``make chaos`` has those keys served, and cuts for
90 seconds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.soak.books import audit, failures
from tests.soak.chaos import Chaos, keys_of, play
from tests.soak.disasters import Disasters
from tests.soak.installation import Installation, installed
from tests.soak.load import Load, Outcome

CUT_S = float(os.environ.get("TEST_CUT_S", "2"))
RATE = 20.0
BOUNDED_USD = "0.001"
"""Some ten answers: it runs out while the ways are cut."""
ANSWERS = 20
"""Come before something is done, and after it."""
LATER = (
    "ALTER TABLE requests ADD COLUMN later text",
    "CREATE TABLE later_things (id integer PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = '20991231_2359'",
)
"""What a later release may do to the schema while this one serves."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Everything, up."""
    with installed(tmp_path_factory.mktemp("machines"), gateways=3, workers=2, is_closed=True) as everything:
        yield everything


@pytest.fixture(scope="module")
def chaos(installation: Installation) -> Chaos:
    """What came of all that can go wrong."""
    return play(installation, rate=RATE, cut_s=CUT_S, bounded_usd=BOUNDED_USD, say=lambda _: None)


def test_no_client_notices_but_those_of_a_killed_gateway(chaos: Chaos) -> None:
    """Without any retry, every request is answered, save on connections of a gateway that is killed."""
    assert [(answer.kind, answer.reason) for answer in chaos.failures] == []
    killed = [step for step in chaos.steps if step.name.startswith("gateway") and step.name.endswith("killed")]
    severed = {step.name for step in chaos.steps for each in step.answers if each.outcome is Outcome.SEVERED}
    assert severed <= {step.name for step in killed}


def test_the_books_agree(chaos: Chaos) -> None:
    """Each request is in the log once, with its calls and its result; ledger and log agree; no budget is overspent."""
    assert chaos.books.faults == ()
    assert chaos.books.rows > len(chaos.answers) / 2
    outcomes = {answer.outcome for answer in chaos.answers}
    assert {Outcome.ANSWERED, Outcome.EXHAUSTED} <= outcomes


def test_changes_reach_every_gateway(chaos: Chaos) -> None:
    """A rollback, a profile and a revocation at one gateway come into force in all of them."""
    assert [each.name for each in chaos.spreads] == ["a policy rolled back", "a profile activated", "a key revoked"]


def test_workers_work_on(installation: Installation, chaos: Chaos) -> None:
    """After all that, workers and beat run, and gateways are well and logged no fault of their own."""
    assert all(helper.is_running for helper in installation.helpers)
    assert chaos.steps
    for gateway in installation.gateways:
        assert gateway.get("/health/ready").json()["status"] == "ready"
        assert "Traceback" not in gateway.log


def test_the_schema_of_a_later_release_is_served(installation: Installation, chaos: Chaos) -> None:
    """A schema that only adds fails no request while it comes, and no start of this release afterwards."""
    assert chaos.steps
    (key,) = keys_of(installation, "")
    load = Load([gateway.address for gateway in installation.gateways], key.secret, rate=RATE, seed=1)
    with load:
        load.await_answers(ANSWERS)
        for statement in LATER:
            asyncio.run(installation.postgres.rows(statement))
        load.await_answers(ANSWERS)
        Disasters(installation, load).stop_gateway(0)
        load.await_answers(ANSWERS)
    assert [(answer.kind, answer.reason) for answer in failures(load.answers)] == []
    assert audit(installation, load, []).faults == ()
    assert "newer than this release's" in installation.gateways[0].log
