"""Room for thinking and answer under one output limit, where thinking counts toward it."""

from __future__ import annotations

from gateway.adapters.thinking.draft import Draft

_ANSWER_TOKENS = 1024
"""Kept for the answer beside the thinking, where the request's own limit is not lower."""


def fit_budget(draft: Draft, tokens: int, max_output_tokens: int | None) -> int | None:
    """The thinking tokens that have room; None where there is none for any.

    The output limit is raised so far that the answer keeps as much as it had, though no more than
    1,024 tokens; where it may not be raised so far, the thinking gets what is left.
    """
    budget = draft.capability.budget
    limit = draft.limit
    if budget is None or not budget.is_output or limit is None:
        return tokens
    answer = min(limit, _ANSWER_TOKENS)
    wanted = tokens + answer
    if wanted <= limit:
        return tokens
    raised = wanted if max_output_tokens is None else max(limit, min(wanted, max_output_tokens))
    fitting = raised - answer
    if fitting < budget.least or fitting <= 0:
        # An answer that takes the whole limit leaves the thinking nothing: half of it is the answer's.
        fitting = raised - raised // 2
        if fitting < budget.least or fitting >= raised:
            return None
    fitting = min(fitting, tokens)
    if raised != limit:
        draft.remark(f"{draft.limit_name} raised from {limit} to {raised}: thinking counts toward it")
        draft.set(draft.limit_name, raised)
    if fitting != tokens:
        draft.remark(f"thinking lowered from {tokens} to {fitting} tokens: the output may have {raised}")
    return fitting
