"""Logistic regression on states that stay as they are: where what reads them begins to learn; needs torch."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

_STEPS: Final = 200
_RIDGE: Final = 1e-4


def fit(reader: torch.nn.Linear, states: Tensor, shares: Tensor) -> None:
    """Give a reader the weights with which it tells these shares of these states best, by cross-entropy."""
    weights = [each.data.zero_().requires_grad_() for each in reader.parameters()]
    optimizer = torch.optim.LBFGS(weights, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def wrong() -> Tensor:
        with torch.enable_grad():
            optimizer.zero_grad()
            said = torch.nn.functional.linear(states, *weights).flatten()
            loss = binary_cross_entropy_with_logits(said, shares) + _RIDGE * weights[0].pow(2).sum()
            loss.backward()
        return loss

    optimizer.step(wrong)
