"""Tests of the benchmark's own arithmetic and page."""

from __future__ import annotations

import pytest

from tests.bench_store.dashboards import Beside, Compared, Turn
from tests.bench_store.loading import Loaded
from tests.bench_store.page import Findings, page
from tests.bench_store.questions import Answered, quantile
from tests.bench_store.upkeep import Forgotten, Size, SummedUp


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.99, 4.0), (0.0, 1.0), (1.0, 4.0), (0.25, 1.0)])
def test_a_quantile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    """The nearest rank is taken, and nothing between two values."""
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == expected


def _beside(with_dashboards: float) -> Compared:
    calm = Turn(Beside.NOTHING, [1.0] * 98 + [4.0, 4.0], failed=0)
    busy = Turn(Beside.READERS, [1.0] * 98 + [with_dashboards] * 2, failed=1, pages=70, pages_failed=2)
    return Compared(start_s=2.0, seconds=60.0, turns=(calm, busy, calm, busy))


def test_the_target_is_p99_within_five_in_a_hundred() -> None:
    """Turns of a kind are taken together, and their p99 compared."""
    assert _beside(4.2).ratio == pytest.approx(1.05)
    assert _beside(4.1).is_met
    assert not _beside(4.3).is_met


def test_the_page_tells_what_was_measured_and_nothing_else() -> None:
    """A part that was left out has no section; figures are those of the findings."""
    bare = page(Findings("a machine", "PostgreSQL 18.6"))
    assert "a machine. PostgreSQL 18.6." in bare
    assert "##" not in bare
    whole = page(
        Findings(
            "a machine", "PostgreSQL 18.6",
            loaded=Loaded(requests=3_000, draws=3_000, write_s=2.0, tidy_s=1.0),
            sink_per_s=5_000.0,
            sizes={"requests": Size(rows=1_000, table_bytes=2**20, index_bytes=2**19)},
            answered=[Answered("newest", 200, 1.25, 3.75)],
            summed=SummedUp(1.0, 720, 2_000, 330_000, 0.1, 0.2, 3.0),
            beside=_beside(4.4),
            forgotten=Forgotten(100, 0.25, 90, 2.5),
        )
    )  # fmt: skip
    for each in (
        "3,000",
        "| 5,000 |",
        "| 1,049 |",
        "| newest | 200 | 1.2 | 3.8 |",
        "1.100",
        "MISSED",
        "| 0.25 |",
        "4.40",
    ):
        assert each in whole
    assert "| 10 dashboards | 200 | 1.00 | 4.40 | 4.40, 4.40 | 140 | 6 |" in whole
