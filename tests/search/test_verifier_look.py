"""One look at a verifier: which sizes it compares, when it is refused, and how it is written down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from gateway.errors import ConfigurationError
from gateway.search.verifier_health import Sample
from gateway.search.verifier_look import Evidence, look_at, read_look


def evidence(problems: int, *, answers: int = 16, deceives: bool = False, seed: int = 1) -> Evidence:
    """Answers that a verifier scores well, or that deceive it where they are wrong."""
    generator = np.random.default_rng(seed)
    samples = []
    for problem in range(problems):
        for _ in range(answers):
            is_correct = bool(generator.random() < 0.5)
            score = float(generator.normal(float(is_correct)))
            if deceives and not is_correct and generator.random() < 0.3:
                score += 9.0
            samples.append(Sample(f"p{problem}", score, is_correct))
    return Evidence("file traces.jsonl", tuple(samples))


def test_a_look_is_written_down_and_read_again() -> None:
    """Through JSON, with all its figures."""
    look = look_at("prm", evidence(40, deceives=True), 3)
    assert (look.answers, look.problems, look.number) == (640, 40, 3)
    assert look.health.cap in (1, 2)
    document = json.loads(json.dumps(look.document))
    assert read_look("prm", 3, look.source, look.digest, document) == look


def test_samples_are_known_again_whatever_they_are_called() -> None:
    """The digest is that of the samples, in any order; other samples have another one."""
    one = evidence(20)
    assert replace(one, source="run run_1", samples=one.samples[::-1]).digest == one.digest
    assert replace(one, decided=frozenset({"p1"})).digest != one.digest
    assert evidence(20, seed=2).digest != one.digest


@pytest.mark.parametrize(("answers", "sizes"), [(16, [1, 2, 4, 8, 16]), (5, [1, 2, 4]), (1, [1])])
def test_sizes_are_those_that_most_problems_have(answers: int, sizes: list[int]) -> None:
    """A few problems with more answers do not let the others fall out."""
    most = evidence(20, answers=answers).samples
    few = tuple(replace(each, problem=f"deep {each.problem}") for each in evidence(12).samples)
    look = look_at("prm", Evidence("file x", most + few), 1)
    assert [each.samples for each in look.health.curve] == sizes


def test_too_little_is_refused_with_what_is_missing() -> None:
    """With fewer than ten problems that have right and wrong answers nothing is said of a verifier."""
    message = "tells too little of verifier prm: 144 scored answers to 9 problems, of which 9 .* 10 such are needed"
    with pytest.raises(ConfigurationError, match=message):
        look_at("prm", evidence(9), 1)
    right = tuple(replace(each, is_correct=True) for each in evidence(30).samples)
    with pytest.raises(ConfigurationError, match="of which 0 have both"):
        look_at("prm", Evidence("run run_1", right), 1)
