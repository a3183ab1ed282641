"""Compares formulas by math-verify, the truth first; its own clock is off, as ours is the deadline of this process."""

from __future__ import annotations

from typing import Any

from math_verify import parse, verify

from gateway.adapters.graders.isolated.answering import Answer, Job, answer_jobs


def compare(job: Job) -> Answer:
    """Whether an answer means the same as one of the truths."""
    answer = _read(job["answer"])
    golds = [_read(each) for each in job["golds"]]
    if not any(golds):
        return {"undecided": "what was given to compare with is no formula"}
    return {"holds": any(gold and verify(gold, answer, timeout_seconds=None) for gold in golds)}


def _read(text: str) -> Any:
    has_marks = any(mark in text for mark in ("$", "\\boxed", "\\(", "\\["))
    return parse(text if has_marks else f"${text}$", parsing_timeout=None)


if __name__ == "__main__":
    answer_jobs(compare)
