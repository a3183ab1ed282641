"""Fresh layers on top of a base that stays as it is, for training a reward model; needs torch and transformers.

A causal model's last states say what it expects next. Whether the token that then came was that one is not in them:
it takes a layer above to compare the two, and another to gather what was found over a step. Step labels alone teach
that slowly. So, at every token of an answer, the first fresh layer also learns how likely the base had held that
token to be, and the last one how likely all of the answer up to there; this takes no label at all.

The base is read once, and what it said is kept in memory: four bytes times its width for each token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

_INTO_THE_STREAM: Final = ("o_proj.weight", "down_proj.weight")
"""The weights through which a layer adds to what it was given, in the Llama and Qwen families."""


class AddedLayers:
    """The fresh layers of a model, and what they learn beside the labels of steps."""

    def __init__(self, model: Any, vocabulary: Tensor, layers: int) -> None:
        """Put layers on a model; ``vocabulary`` are the base's output embeddings."""
        self._model = model
        self._vocabulary = vocabulary
        self._base = _under(model.base_model, deepcopy(model.base_model.norm))
        self._fresh = _deepened(model, layers)
        width = model.config.hidden_size
        self._of_token, self._of_answer = (torch.nn.Linear(width, 1).to(vocabulary.device) for _ in range(2))
        self._compared: Tensor | None = None
        self._gathered: Tensor | None = None
        self._fresh.layers[0].register_forward_hook(self._keep)

    @property
    def trained(self) -> Iterator[torch.nn.Parameter]:
        """The weights that learn, those that are needed only for learning included."""
        for each in (*self._fresh.layers, self._fresh.norm, self._model.score, self._of_token, self._of_answer):
            yield from each.parameters()

    def base_of(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the base makes of some tokens: its states, and the chance that it gave each of them."""
        row = torch.tensor([ids], device=self._vocabulary.device)
        given: list[Tensor] = []
        hook = self._base.norm.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        with torch.no_grad():
            last = self._base(input_ids=row, use_cache=False).last_hidden_state[0]
            chances = torch.softmax(last[:-1] @ self._vocabulary.T, -1).gather(1, row[0, 1:, None]).flatten()
        hook.remove()
        return given[0][0], torch.cat([chances.new_ones(1), chances])

    def states(self, known: Sequence[tuple[Tensor, Tensor]], ends: Sequence[Sequence[int]]) -> Tensor:
        """The last states at some tokens of each row, one after another."""
        rows = pad_sequence([states for states, _ in known], batch_first=True)
        self._gathered = read = self._fresh(inputs_embeds=rows, use_cache=False).last_hidden_state
        return torch.cat([row[list(places)] for row, places in zip(read, ends, strict=True)])

    def surprise_loss(self, known: Sequence[tuple[Tensor, Tensor]], starts: Sequence[int]) -> Tensor:
        """How badly the fresh layers, as they last read these rows, tell what the base had expected."""
        assert self._compared is not None and self._gathered is not None  # noqa: S101, PT018 - they were read
        answers = [chances[start:] for (_, chances), start in zip(known, starts, strict=True)]
        of_tokens = _told(self._of_token, self._compared, answers, starts)
        of_answers = _told(self._of_answer, self._gathered, [each.cumprod(0) for each in answers], starts)
        return of_tokens + of_answers

    def _keep(self, layer: Any, given: Any, made: Any) -> None:
        self._compared = made[0] if isinstance(made, tuple) else made


def _told(reader: torch.nn.Linear, states: Tensor, answers: Sequence[Tensor], starts: Sequence[int]) -> Tensor:
    """The cross-entropy of what is read of rows of states against what is right, from where each answer starts."""
    rows = zip(reader(states).squeeze(-1), answers, starts, strict=True)
    said = torch.cat([row[start : start + len(answer)] for row, answer, start in rows])
    return binary_cross_entropy_with_logits(said, torch.cat(list(answers)))


def _under(body: Any, norm: Any) -> Any:
    """The body of a model as it is now, whatever is put on it later."""
    base = copy(body)
    base._modules = dict(body._modules)  # a copy of a module shares them
    base.layers, base.norm, base.config = torch.nn.ModuleList(body.layers), norm, copy(body.config)
    return base


def _deepened(model: Any, layers: int) -> Any:
    """Put fresh layers on a model, which hand on what they are given until they learn; they alone, as a body."""
    body, config = model.base_model, model.config
    stack, kinds = body.layers, getattr(config, "layer_types", None)
    for number in range(len(stack), len(stack) + layers):
        layer = deepcopy(stack[-1])
        layer.self_attn.layer_idx = number
        for name, weights in layer.named_parameters():
            if name.endswith("norm.weight"):
                torch.nn.init.ones_(weights)
            elif name.endswith(("bias", *_INTO_THE_STREAM)):
                torch.nn.init.zeros_(weights)
            else:
                torch.nn.init.normal_(weights, std=weights.shape[1] ** -0.5 / 2)
        stack.append(layer)
    config.num_hidden_layers = len(stack)
    if kinds:
        config.layer_types = [*kinds, *kinds[-1:] * layers]
    fresh = _under(body, body.norm)
    fresh.layers, fresh.config.num_hidden_layers = torch.nn.ModuleList(stack[-layers:]), layers
    if kinds:
        fresh.config.layer_types = kinds[-1:] * layers
    return fresh
