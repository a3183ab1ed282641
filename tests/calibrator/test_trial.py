"""One calibration on a table: what is labelled, in which order rules are tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.choose import Target, choose
from calibrator.trial import Question, draw, has_difficulty, rule_of
from gateway.errors import ConfigurationError
from tests.calibrator.made import table

TABLE = table()
REFERENCE = TABLE.arm("think-hard")
QUESTION = Question(TABLE, REFERENCE, Target(0.03, 0.9), 400, 0.0)


def test_labels_are_drawn_by_the_seed_alone() -> None:
    """The same seed labels the same items in the same order; another seed labels others."""
    one, again, other = draw(QUESTION, 1), draw(QUESTION, 1), draw(QUESTION, 2)
    assert np.array_equal(one.labels.scores, again.labels.scores)
    assert np.array_equal(one.labelled, again.labelled)
    assert not np.array_equal(one.labelled, other.labelled)
    assert one.size == 400


def test_the_order_of_the_path_has_no_part_of_the_labels() -> None:
    """Turning every tested outcome around leaves the path as it was."""
    drawn = draw(QUESTION, 1)
    scores = TABLE.scores.copy()
    scores[drawn.labelled] = 1 - scores[drawn.labelled]
    costs = TABLE.costs.copy()
    costs[drawn.labelled] *= np.random.default_rng(0).uniform(0.5, 2, costs[drawn.labelled].shape)
    turned = replace(QUESTION, table=replace(TABLE, scores=scores, costs=costs))
    assert draw(turned, 1).path == drawn.path


def test_a_pilot_sets_the_order_and_is_not_tested_with() -> None:
    """Tested items are others than the pilot's, only from cells that the path changes."""
    question = replace(QUESTION, pilot_share=0.4)
    drawn = draw(question, 1)
    order = np.random.default_rng(1).permutation(len(TABLE.items))
    pilot = set(order[:160].tolist())
    tested = set(np.flatnonzero(drawn.labelled).tolist()) - pilot
    assert len(tested) == drawn.labels.cells.size <= 240
    changed = {cell for rule in drawn.path for cell, arm in enumerate(rule) if arm != REFERENCE}
    assert set(drawn.labels.cells.tolist()) <= changed


def test_slow_arms_are_left_out() -> None:
    """The bound is of an arm's 95th percentile in a cell; the reference always stays."""
    drawn = draw(replace(QUESTION, latency_at_most_s=3.0), 1)
    think = TABLE.arm("think")
    assert all(think not in rule for rule in drawn.path)
    silent = replace(TABLE, latencies=np.full_like(TABLE.latencies, np.nan))
    with pytest.raises(ConfigurationError, match="the table has no latencies"):
        draw(replace(QUESTION, table=silent, latency_at_most_s=3.0), 1)


def test_a_rule_is_found_by_names() -> None:
    """A cell without an entry takes its category's, and else the arm named for it."""
    chosen = {("math", None): "fast", ("code", "easy"): "think", ("code", "hard"): "gone"}
    rule = rule_of(TABLE.cells, TABLE.arms, chosen, "think-hard")
    named = {cell: TABLE.arms[arm] for cell, arm in zip(TABLE.cells, rule, strict=True)}
    assert named[("math", "hard")] == "fast"
    assert named[("code", "easy")] == "think"
    assert named[("code", "medium")] == named[("code", "hard")] == "think-hard"


def test_an_order_is_expected_only_where_difficulties_differ() -> None:
    """One difficulty, or none, tells nothing of which cell to begin with."""
    assert has_difficulty(TABLE.cells)
    assert not has_difficulty((("math", None), ("code", None)))


def test_a_choice_is_the_same_every_time() -> None:
    """Same table, same seed, same choice to the last digit."""
    one, again = draw(QUESTION, 7), draw(QUESTION, 7)
    assert choose(one.ground, one.labels, QUESTION.target, one.path) == choose(
        again.ground, again.labels, QUESTION.target, again.path
    )
