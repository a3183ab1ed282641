"""Verdicts and tables of a run, from what was seen of it."""

from __future__ import annotations

from dataclasses import replace

from tests.soak.books import Books
from tests.soak.load import Answer, Kind, Outcome
from tests.soak.report import CALM, Story, Trouble, by_trouble, minutes, quantile_ms, soak_section, verdicts
from tests.soak.watching import Sample

BOOKS = Books(
    rows=240,
    results={"answered": 240},
    lost=0,
    doubled=0,
    wrong=(),
    drawless=0,
    uneven=0,
    off=(),
    overspent=(),
)


def _answers(latency_s: float, start: float, end: float) -> list[Answer]:
    return [Answer(at, latency_s, Kind.WHOLE, Outcome.ANSWERED, "id") for at in _every(1, start, end)]


def _every(step_s: int, start: float, end: float) -> list[float]:
    return [start + offset for offset in range(0, int(end - start), step_s)]


def story() -> Story:
    """Four minutes: one of calm, one until all faults were met, two more."""
    return Story(
        minutes=4,
        peak_per_s=100,
        rate_per_s=60,
        began=1000,
        troubled=1060,
        warm=1120,
        ended=1240,
        answers=[*_answers(0.010, 1000, 1060), *_answers(0.015, 1060, 1240)],
        troubles=[Trouble("Redis refuses", 1065, 1085)],
        samples=[Sample(at, 0, 100.0, 40) for at in _every(2, 1000, 1240)],
        lasting=(0,),
        books=BOOKS,
    )


def _missed(seen: Story) -> list[str]:
    return [verdict.name for verdict in verdicts(seen) if not verdict.is_met]


def test_a_run_without_fault_meets_everything() -> None:
    """Nothing lost, latency within twice that of the calm, memory flat."""
    assert _missed(story()) == []


def test_each_fault_is_told() -> None:
    """What is wrong in the books, in latency, in memory, or with clients misses its own line."""
    well = story()
    failed = Answer(1100, 0.1, Kind.WHOLE, Outcome.FAILED, None, "502")
    assert _missed(replace(well, answers=[*well.answers, failed])) == ["requests that failed, or that no gateway took"]
    assert _missed(replace(well, books=replace(BOOKS, lost=1, off=("k",)))) == [
        "answered requests missing from the log",
        "keys whose ledger is not the sum of the log",
    ]
    slow = [*_answers(0.010, 1000, 1060), *_answers(0.025, 1060, 1240)]
    assert _missed(replace(well, answers=slow)) == ["p99 latency of the whole run"]
    grown = [replace(each, resident_mib=106.0) if each.at > 1180 else each for each in well.samples]
    assert _missed(replace(well, samples=grown)) == ["resident memory of gateway 0, growth"]
    leaking = [replace(each, open_files=60) if each.at > 1180 else each for each in well.samples]
    assert _missed(replace(well, samples=leaking)) == ["open files of gateway 0, more"]


def test_what_counts_as_latency_is_the_gateways() -> None:
    """Failures, and streams that their provider draws out, have no part in it."""
    answers = [
        Answer(0, 0.010, Kind.WHOLE, Outcome.ANSWERED, "a"),
        Answer(0, 9.0, Kind.SLOW, Outcome.ANSWERED, "b"),
        Answer(0, 9.0, Kind.WHOLE, Outcome.FAILED, None),
    ]
    assert quantile_ms(answers, 0.99) == 10.0
    assert quantile_ms([], 0.5) == 0.0


def test_minutes_tell_what_was_done_in_them() -> None:
    """Each has its requests, its memory and its faults; a fault that lasts stands in every minute it touches."""
    busy = replace(story(), troubles=[Trouble("long", 1050, 1130), Trouble("short", 1200, 1201)])
    table = minutes(busy)
    assert [each.asked for each in table] == [60, 60, 60, 60]
    assert [each.troubles for each in table] == [("long",), ("long",), ("long",), ("short",)]
    assert table[0].resident_mib == (100.0,)
    assert "| 4 | 60 | 0 | 15.0 | 15.0 | 100 | 40 | short |" in soak_section(busy, "a machine", "versions")


def test_what_a_trouble_leaves_behind_is_its_own() -> None:
    """From one on, until the next: whenever the same thing is done again, to the same account."""
    again = (Trouble("Redis refuses", 1065, 1085), Trouble("gateway 1 killed", 1100, 1101))
    seen = replace(story(), troubles=[*again, Trouble("Redis refuses", 1200, 1220)])
    counts = {name: len(answers) for name, answers in by_trouble(seen).items()}
    assert counts == {CALM: 65, "Redis refuses": 35 + 40, "gateway 1 killed": 100}
