"""Fresh layers on top of a base that stays as it is, and what they learn beside the labels; needs torch.

Where an answer goes wrong, a good model is surprised. So, at every token of an answer, the first fresh layer also
learns how likely the base had held that token to be, and the last one how likely all of the answer up to there; this
takes no label at all. :mod:`.widened` makes the layers so that they begin near it.

The base is read once, and what it said is kept in memory: four bytes times the model's width for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from calibrator.prm.widened import Sample, chances, widened


class AddedLayers:
    """A base with fresh layers, and what they learn beside the labels of steps."""

    def __init__(self, base: Any, vocabulary: Tensor, layers: int, samples: Sequence[Sample]) -> None:
        """Put layers on a base; ``vocabulary`` are its output embeddings, ``samples`` some of what it will read."""
        self.model, self._of_token = widened(base, vocabulary, layers, samples)
        self._vocabulary = vocabulary
        self._width = vocabulary.shape[1]
        body = self.model.base_model
        norm = deepcopy(body.norm)
        first = body.layers[-layers]
        norm.weight.data[: self._width] = first.input_layernorm.weight.data[: self._width]  # as the base's last norm
        self._base = _part(body, body.layers[:-layers], norm)
        self._fresh = _part(body, body.layers[-layers:], body.norm)
        self._of_answer = torch.nn.Linear(body.config.hidden_size, 1).to(vocabulary.device)
        self._compared: Tensor | None = None
        self._gathered: Tensor | None = None
        self._fresh.layers[1].input_layernorm.register_forward_hook(self._keep)

    @property
    def layers(self) -> list[torch.nn.Parameter]:
        """The weights of the layers, and of the norm after them."""
        return [weights for each in (*self._fresh.layers, self._fresh.norm) for weights in each.parameters()]

    @property
    def readers(self) -> list[torch.nn.Parameter]:
        """The weights that are needed only for learning."""
        return [*self._of_token.parameters(), *self._of_answer.parameters()]

    def base_of(self, rows: Sequence[Sequence[int]]) -> list[tuple[Tensor, Tensor]]:
        """What the base makes of rows of tokens: for each its states, and the chance that it gave every token."""
        ids = pad_sequence([torch.tensor(list(row), device=self._vocabulary.device) for row in rows], batch_first=True)
        given: list[Tensor] = []
        hook = self._base.norm.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        with torch.no_grad():
            last = self._base(input_ids=ids, use_cache=False).last_hidden_state[..., : self._width]
            told = [chances(of[: len(row)], self._vocabulary, row) for of, row in zip(last, rows, strict=True)]
        hook.remove()
        return [(states[: len(each)].clone(), each) for states, each in zip(given[0], told, strict=True)]

    def states(self, known: Sequence[tuple[Tensor, Tensor]], ends: Sequence[Sequence[int]]) -> Tensor:
        """The last states at some tokens of each row, one after another."""
        rows = pad_sequence([states for states, _ in known], batch_first=True)
        self._gathered = read = self._fresh(inputs_embeds=rows, use_cache=False).last_hidden_state
        return torch.cat([row[list(places)] for row, places in zip(read, ends, strict=True)])

    def surprise_loss(self, known: Sequence[tuple[Tensor, Tensor]], starts: Sequence[int]) -> Tensor:
        """How badly the fresh layers, as they last read these rows, tell what the base had expected.

        What stands before an answer is no surprise, whatever it is.
        """
        assert self._compared is not None and self._gathered is not None  # noqa: S101, PT018 - they were read
        told = [torch.cat([each.new_ones(start), each[start:]]) for (_, each), start in zip(known, starts, strict=True)]
        of_tokens = _wrong(self._of_token, self._compared, told)
        return of_tokens + _wrong(self._of_answer, self._gathered, [each.cumprod(0) for each in told])

    def _keep(self, norm: Any, given: Any, made: Tensor) -> None:
        self._compared = made


def _wrong(reader: torch.nn.Linear, states: Tensor, right: Sequence[Tensor]) -> Tensor:
    """The cross-entropy of what is read of rows of states against what is right."""
    said = torch.cat([row[: len(each)] for row, each in zip(reader(states).squeeze(-1), right, strict=True)])
    return binary_cross_entropy_with_logits(said, torch.cat(list(right)))


def _part(body: Any, layers: Sequence[Any], norm: Any) -> Any:
    """Some layers of a model as a body of their own, of the same weights."""
    part = copy(body)
    part._modules = dict(body._modules)  # a copy of a module shares them
    part.layers, part.norm, part.config = torch.nn.ModuleList(layers), norm, copy(body.config)
    part.config.num_hidden_layers = len(layers)
    if kinds := getattr(body.config, "layer_types", None):
        part.config.layer_types = kinds[: len(layers)]
    return part
