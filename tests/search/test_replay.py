"""Replay: the same strategies on recorded chains."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.search import configure
from gateway.search.replay import Item, check, check_strategy, majority, ordered, read_items, replay, verifier_of
from gateway.search.replay_report import _bootstrap, measure, measure_conformal, wilson
from gateway.search.vote import Vote


def item(answers: list[str], tokens: list[int] | None = None, scores: list[float] | None = None) -> Item:
    """A problem of which 1 is the right answer."""
    traces = [
        {"answer": answer, "tokens": tokens[place] if tokens else 100, "correct": answer == "1"}
        | ({"prm_score": scores[place]} if scores else {})
        for place, answer in enumerate(answers)
    ]
    return read_items([json.dumps({"id": "p", "gold": "1", "traces": traces})], "test")[0]


def outcome(problem: Item, name: str, given: dict[str, Any], seed: int = 0) -> tuple[bool, int, int, int]:
    """Whether it was right, and its tokens, draws and span."""
    done = replay(problem, name, configure(name, given), seed, verifier_of([problem]))
    return done.is_correct, done.tokens, done.draws, done.span


def test_one_draw_is_one_chain() -> None:
    """Greedy takes the first chain of the order."""
    problem = item(["1", "2"], tokens=[70, 30])
    for seed in range(6):
        first = ordered(problem, seed)[0]
        assert outcome(problem, "greedy", {}, seed) == (first.is_correct, first.tokens, 1, first.tokens)


def test_a_vote_spends_what_its_draws_wrote() -> None:
    """Two that agree and no more; they are written at the same time."""
    assert outcome(item(["1"] * 8), "vote", {"samples": 8}) == (True, 200, 2, 100)
    assert outcome(item(["1"] * 8), "vote", {"samples": 8, "stop": "never"})[1:3] == (800, 8)


def test_cancelled_chains_cost_what_they_had_written() -> None:
    """All at once, two short ones agree, and the long ones are charged up to then."""
    problem = item(["1", "1", "2", "3"], tokens=[40, 50, 500, 60])
    assert outcome(problem, "vote", {"samples": 4, "schedule": "concurrent"}) == (True, 40 + 50 + 50 + 50, 4, 50)


def test_best_of_n_takes_the_recorded_scores() -> None:
    """The best scored chain wins; scores beyond 0 to 1 are taken as logits."""
    problem = item(["2", "2", "1"], scores=[-1.0, 0.5, 4.0])
    verifier = verifier_of([problem])
    assert verifier is not None
    assert verifier.is_logit
    assert outcome(problem, "best_of_n", {"samples": 3})[0]
    assert verifier_of([item(["1"])]) is None


def test_of_equal_answers_one_that_its_text_marks_stands_for_them() -> None:
    """Also where traces have the answer beside the text: what is taken for right may differ between the two."""
    traces = [
        {"answer": "1", "text": "It may be 1, or not", "tokens": 9, "correct": False},
        {"answer": "1", "text": "\\boxed{1}", "tokens": 9, "correct": True},
    ]
    problem = read_items([json.dumps({"id": "p", "gold": "1", "traces": traces})], "test")[0]
    assert all(outcome(problem, "vote", {"samples": 2}, seed)[0] for seed in range(6))


def test_majority_of_all() -> None:
    """The usual yardstick counts every chain; of equally common answers the first wins."""
    tied = item(["1", "2", "2", "1"])
    for seed in range(8):
        assert majority(tied, seed).is_correct == ordered(tied, seed)[0].is_correct
    assert majority(item(["1", "0.5", "1/2"]), 0).is_correct is False
    assert (majority(tied, 0).tokens, majority(tied, 0).draws) == (400, 4)


def test_the_same_seed_replays_the_same() -> None:
    """A seed fixes the order, and so everything."""
    problem = item([str(random.Random(3).randint(1, 3)) for _ in range(8)], tokens=list(range(10, 90, 10)))
    assert outcome(problem, "vote", {"samples": 8}, 7) == outcome(problem, "vote", {"samples": 8}, 7)
    assert ordered(problem, 1) != ordered(problem, 2)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"id": 1}',
        '{"id": 1, "traces": [{"tokens": 1, "correct": true}]}',
        '{"id": 1, "traces": [{"answer": "1", "tokens": "many", "correct": true}]}',
        '{"id": 1, "traces": [{"answer": "1", "tokens": 1}]}',
        '{"id": 1, "traces": [3]}',
    ],
)
def test_broken_lines_are_named(line: str) -> None:
    """A line that is no problem is told with its number and what is expected."""
    with pytest.raises(ConfigurationError, match=r"traces\.jsonl:2: .* answer or text, tokens, correct"):
        read_items(['{"id": 1, "traces": [{"answer": "1", "tokens": 1, "correct": true}]}', line], "traces.jsonl")


def test_files_without_problems_or_chains_are_refused() -> None:
    """Nothing to replay is said to be nothing."""
    with pytest.raises(ConfigurationError, match="holds no problems"):
        read_items(["", "  "], "traces.jsonl")
    with pytest.raises(ConfigurationError, match="there are no traces"):
        read_items(['{"id": 1, "traces": []}'], "traces.jsonl")


def test_answers_are_read_from_texts() -> None:
    """A chain without an answer is read; one that was cut off only gives a marked one."""
    rows = [{"text": "So \\boxed{3}", "tokens": 4, "correct": True}, {"text": "then 12", "tokens": 4, "correct": False}]
    rows.append({"text": "then 12", "tokens": 4, "correct": False, "truncated": True})
    (read,) = read_items([json.dumps({"id": 1, "traces": rows})], "x")
    assert [trace.answer for trace in read.traces] == ["3", "then 12", None]


def test_what_chains_cannot_replay_is_refused() -> None:
    """Step-wise strategies, chains that are too few, and rejection on the way."""
    with pytest.raises(ConfigurationError, match=r"cannot replay beam: .* they can replay greedy, vote, best_of_n"):
        check_strategy("beam")
    with pytest.raises(ConfigurationError, match="up to 4 draws, and p has 1 traces"):
        check("vote", configure("vote", {"samples": 4}), [item(["1"])])
    with pytest.raises(ConfigurationError, match="leave reject_below"):
        check("best_of_n", configure("best_of_n", {"samples": 1, "reject_below": 0.5}), [item(["1"])])


def test_a_report_compares_with_the_majority_of_all() -> None:
    """Problems that agree cost a quarter, and nothing is lost."""
    problems = [item(["1"] * 8), item(["2"] * 8), item(["1"] * 8)]
    report = measure(problems, "vote", configure("vote", {"samples": 8}), range(3), None)
    assert (report.problems, report.orders) == (3, 3)
    assert report.strategy.accuracy.value == report.majority.accuracy.value == pytest.approx(2 / 3)
    assert (report.points.value, report.points.low, report.points.high) == (0, 0, 0)
    assert report.token_share.value == 0.25


def test_a_conformal_report_keeps_its_error() -> None:
    """Levels are calibrated on one half and used on the other, and the vote loses no more than the target."""
    source = random.Random(2)
    problems = [item([str(source.choice([1, 1, 2, 3])) for _ in range(8)]) for _ in range(60)]
    full = measure(problems, "vote", Vote(samples=8, confidence=1.0), range(1), None)
    report = measure_conformal(problems, Vote(samples=8), range(1), None, target=0.1)
    assert len(report.levels) == 2
    assert report.strategy.accuracy.value >= full.strategy.accuracy.value - 0.12
    assert report.token_share.value < full.token_share.value
    with pytest.raises(ConfigurationError, match=r"no level keeps the error at 0\.01 with 30 asks"):
        measure_conformal(problems, Vote(samples=8), range(1), None, target=0.01)


def test_wilson_by_hand() -> None:
    """8 of 10 lies between 0.490 and 0.943; 0 of 10 below 0.278."""
    some, none = wilson(0.8, 10), wilson(0.0, 10)
    assert (some.low, some.high) == (pytest.approx(0.490, abs=1e-3), pytest.approx(0.943, abs=1e-3))
    assert (none.low, none.high) == (0.0, pytest.approx(0.278, abs=1e-3))


def test_the_bootstrap_interval_covers() -> None:
    """Of simulated means, nearly 95% lie in their interval."""
    source, covered, runs = random.Random(4), 0, 120
    for _ in range(runs):
        sample = [source.gauss(1.0, 2.0) for _ in range(40)]
        estimate = _bootstrap(lambda chosen, sample=sample: sum(sample[n] for n in chosen) / len(chosen), 40)
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.87 <= covered / runs <= 1
