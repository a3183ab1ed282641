"""The report's page: everything that was chosen, and what it loses."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from calibrator.choice_document import document
from calibrator.choose import choose
from calibrator.comparison import resplit
from calibrator.report.page import page
from calibrator.trial import Question, draw
from tests.calibrator.test_trial import QUESTION


class _Balance(HTMLParser):
    """Counts elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "path", "circle", "rect", "p", "li"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "circle", "rect", "p", "li"}:
            assert self.open.pop() == tag


def _page(question: Question, runs: int = 0) -> str:
    drawn = draw(question, 1)
    choice = choose(drawn.ground, drawn.labels, question.target, drawn.path)
    resplits = resplit(question, runs, 1) if runs else None
    text = page(question, drawn, choice, document(question, drawn, choice, 1, resplits))
    balance = _Balance()
    balance.feed(text)
    assert balance.open == []
    return text


def test_a_page_has_the_promise_the_cells_and_the_losses() -> None:
    """What changed and what it loses stands there, with the seed and the digest of the data."""
    text = _page(QUESTION, runs=3)
    assert "upper bound of the loss" in text
    assert "math, hard" in text
    assert QUESTION.table.digest in text
    assert "3 runs with other labels" in text
    assert "items left over" in text
    assert "spent on the labelled answers" in text


def test_equal_choices_make_equal_pages() -> None:
    """Nothing in a page tells when it was made."""
    assert _page(QUESTION) == _page(QUESTION)


def test_a_page_of_nothing_certified_says_so() -> None:
    """With too little evidence the headline is that nothing changes, and the failed step is shown."""
    text = _page(replace(QUESTION, labels=12))
    assert "Nothing changes: too little evidence" in text
    assert "not certified" in text
    assert "the next step would take" in text


def test_names_from_the_data_are_text() -> None:
    """Names of arms cannot become markup."""
    table = replace(QUESTION.table, arms=("<script>", "think", "think-hard"))
    text = _page(replace(QUESTION, table=table))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_graded_scores_have_bands_by_betting() -> None:
    """Scores between right and wrong are no counts of successes."""
    assert "betting on paired differences" in _page(replace(QUESTION, is_graded=True, labels=900))
