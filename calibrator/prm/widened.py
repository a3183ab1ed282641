"""A causal model made wider and deeper, so that it can tell how likely it held each token to be; needs torch.

The last states of a causal model say which token it expects next. Which token it stands at they hardly tell any more,
so a layer on top cannot compare that one with what had been expected. The model therefore gets dimensions beside its
own, in which no layer of it reads or writes:

``own``     the token, handed in by the embedding and carried past all layers
``before``  what the model expected there: its states at the token before, put there by the first fresh layer
``found``   what fresh layers make of it

Token and expectation are both told in the directions in which the output embeddings of the texts differ most, as many
as a head has, so that their product is about the logit which the model gave the token. The first fresh layer begins
by computing it, the second by looking where in the answer so far it was least; both learn on from there.

That a network is made wider or deeper without changing its function is the idea of Net2Net (Chen et al. 2016, arXiv
1511.05641), fresh layers that begin by doing nothing that of LLaMA Pro (Wu et al. 2024, arXiv 2401.02415). The
comparison is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from calibrator.prm.regression import fit

_INTO_THE_STREAM: Final = ("o_proj.weight", "down_proj.weight")
"""The weights through which a layer adds to what it was given."""
_SCALED: Final = ("embed_tokens.weight", *_INTO_THE_STREAM, "o_proj.bias", "down_proj.bias")
"""All that the size of a base's states comes from."""
_FAINT: Final = 0.03
"""How large what the embedding carries beside its own is against that: too little to change the base's norms."""
_TYPICAL: Final = 2.0
"""How large the base's last states are made."""
_LOUD: Final = 4.0
"""How much larger all states are once what was expected stands beside them: norms then divide by about the same."""
_FOUND: Final = 4.0
"""How large the logit of the token is written against all else."""
_SHARP: Final = 100.0
"""How much distance counts in attention to the token before: its neighbours get less than a thousandth."""
_KEEN: Final = 2.0
"""How much the log odds of a token count in attention to the least likely one."""
_READ_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens of a text of the kind that a model will read, and how many of them stand before its answer."""

    ids: Sequence[int]
    start: int


@dataclass(frozen=True, slots=True)
class Room:
    """Where in a wider state what stands."""

    base: slice
    own: slice
    before: slice
    found: slice

    @property
    def blocks(self) -> tuple[slice, ...]:
        """All of them."""
        return self.base, self.own, self.before, self.found


def room_beside(config: Any) -> Room:
    """What is put beside a base: three times what a head has, and a multiple of the heads, as configurations ask."""
    base, head, heads = config.hidden_size, config.head_dim, config.num_attention_heads
    wide = base + math.ceil(3 * head / heads) * heads
    own, before = base + head, base + 2 * head
    return Room(slice(0, base), slice(base, own), slice(own, before), slice(before, wide))


def widened(model: Any, vocabulary: Tensor, layers: int, samples: Sequence[Sample]) -> tuple[Any, torch.nn.Linear]:
    """A model with another's base, wider, and fresh layers on it; and what reads off the first how likely tokens were.

    ``vocabulary`` are the base's output embeddings. At least two layers, and a model of the Llama family: it may have
    the biases in attention that the comparison is made with.
    """
    room = room_beside(model.config)
    with torch.no_grad():
        size = _states(model.base_model, model.base_model.norm, samples).pow(2).mean(-1).sqrt().median().item()
        quiet = 2.0 ** round(math.log2(_TYPICAL / size))  # a power of two changes no digit of a weight
        wide = type(model)(_configuration(model.config, room, layers, quiet)).to(vocabulary.device)
        _copy_base(model, wide, room, quiet)
        tokens = torch.tensor([token for sample in samples for token in sample.ids], device=vocabulary.device)
        directions = torch.linalg.svd(vocabulary[tokens], full_matrices=False).Vh[: model.config.head_dim]
        _carry(wide, room, vocabulary @ directions.T)
        body = wide.base_model
        first, *others = body.layers[-layers:]
        for each in (first, *others):
            _begin(each, room)
        last = _set_up_first(body, first, room, directions, samples)
        reader = _set_up_others(body, others, room, _certain_before(last, vocabulary, samples), samples)
    return wide, reader


def chances(states: Tensor, vocabulary: Tensor, ids: Sequence[int]) -> Tensor:
    """How likely a base held each token of a text to be, by its last states; the first is certain."""
    row = torch.tensor(list(ids), device=states.device)
    told = torch.softmax(states[:-1] @ vocabulary.T, -1).gather(1, row[1:, None]).flatten()
    return torch.cat([told.new_ones(1), told])


def _configuration(config: Any, room: Room, layers: int, quiet: float) -> Any:
    wider = deepcopy(config)
    wider.hidden_size = room.found.stop
    wider.num_hidden_layers += layers
    wider.attention_bias = True
    wider.rms_norm_eps *= quiet**2 * config.hidden_size / wider.hidden_size
    if kinds := getattr(config, "layer_types", None):
        wider.layer_types = [*kinds, *kinds[-1:] * layers]
    return wider


def _copy_base(model: Any, wide: Any, room: Room, quiet: float) -> None:
    """Put the base into the first dimensions, all its states smaller by a factor, which its norms take away again."""
    narrower = math.sqrt(room.base.stop / room.found.stop)  # the mean that a norm takes is over more dimensions
    weights = dict(wide.named_parameters())
    for each in weights.values():
        each.zero_()
    for name, source in model.named_parameters():
        factor = narrower if name.endswith("norm.weight") else quiet if name.endswith(_SCALED) else 1.0
        weights[name][tuple(slice(0, size) for size in source.shape)] = source * factor


def _carry(wide: Any, room: Room, tokens: Tensor) -> None:
    """Let the embedding hand in what tells each token from others."""
    table = wide.base_model.embed_tokens.weight
    table[:, room.own] = tokens * _FAINT * table.pow(2).mean().sqrt() / tokens.pow(2).mean().sqrt()


def _begin(layer: Any, room: Room) -> None:
    """Have a layer hand on what it is given, and never write to what tells the token."""
    for name, weights in layer.named_parameters():
        if name.endswith(_INTO_THE_STREAM):
            weights.register_hook(partial(_spared, rows=room.own))
        elif weights.ndim > 1:
            torch.nn.init.normal_(weights, std=weights.shape[1] ** -0.5 / 2)


def _set_up_first(body: Any, layer: Any, room: Room, directions: Tensor, samples: Sequence[Sample]) -> Tensor:
    """Make a layer compare each token with what was expected; the base's last states, by which it was expected."""
    states = _states(body, layer.input_layernorm, samples)
    _even(layer.input_layernorm, states, room)
    layer.input_layernorm.weight[room.base] = body.norm.weight[room.base]
    last: Tensor = layer.input_layernorm(states)[:, room.base]
    _look_back(layer.self_attn, last @ directions.T, room, directions, body.rotary_emb.inv_freq)
    states = _states(body, layer.post_attention_layernorm, samples)
    _even(layer.post_attention_layernorm, states, room)
    _compare(layer.mlp, layer.post_attention_layernorm(states), room)
    return last


def _set_up_others(
    body: Any, layers: Sequence[Any], room: Room, likely: Tensor, samples: Sequence[Sample]
) -> torch.nn.Linear:
    """Make the next layer gather what the first found; what reads off the first how likely tokens were."""
    states = _states(body, layers[0].input_layernorm, samples)
    for norm in (body.norm, *(each for one in layers for each in (one.input_layernorm, one.post_attention_layernorm))):
        _even(norm, states, room)
    reader = torch.nn.Linear(room.found.stop, 1).to(states.device)
    fit(reader, layers[0].input_layernorm(states), likely)
    _gather(layers[0].self_attn, reader, room)
    return reader


def _certain_before(last: Tensor, vocabulary: Tensor, samples: Sequence[Sample]) -> Tensor:
    """How likely the base held the tokens of each sample to be; those before the answer count as certain."""
    told: list[Tensor] = []
    for sample, states in zip(samples, last.split([len(sample.ids) for sample in samples]), strict=True):
        row = chances(states, vocabulary, sample.ids)
        row[: sample.start] = 1.0
        told.append(row)
    return torch.cat(told)


def _look_back(attention: Any, expected: Tensor, room: Room, directions: Tensor, frequencies: Tensor) -> None:
    """Make the first head of a layer hand on what the base expected, as it said at the token before.

    Rotary embeddings turn queries and keys by their places, so a query that is turned back by one place meets best
    the key of the place before, whatever the tokens are.
    """
    head = len(directions)
    query = torch.cat([frequencies.cos(), -frequencies.sin()]) * math.sqrt(_SHARP)
    key = torch.cat([torch.ones_like(frequencies), torch.zeros_like(frequencies)]) * math.sqrt(_SHARP)
    for projection, bias in ((attention.q_proj, query), (attention.k_proj, key)):
        projection.weight[:head] = 0
        projection.bias[:head] = bias
    attention.v_proj.weight[:head] = 0
    attention.v_proj.weight[:head, room.base] = directions
    loud = _TYPICAL * _LOUD * math.sqrt(room.found.stop / head) / expected.pow(2).mean().sqrt()
    attention.o_proj.weight[room.before, :head] = torch.eye(head, device=expected.device) * loud


def _compare(mlp: Any, states: Tensor, room: Room) -> None:
    """Make a gated layer compute the product of what is there and what was expected: x·y = silu(x)·y - silu(-x)·y."""
    size = room.own.stop - room.own.start
    one = torch.eye(size, device=states.device)
    product = (states[:, room.own] * states[:, room.before]).sum(-1)
    weight = _TYPICAL * _LOUD * _FOUND / product.pow(2).mean().sqrt()
    for sign, rows in ((1.0, slice(0, size)), (-1.0, slice(size, 2 * size))):
        mlp.gate_proj.weight[rows] = 0
        mlp.gate_proj.weight[rows, room.own] = sign * one
        mlp.up_proj.weight[rows] = 0
        mlp.up_proj.weight[rows, room.before] = one
        mlp.down_proj.weight[room.found.start, rows] = sign * weight


def _gather(attention: Any, reader: torch.nn.Linear, room: Room) -> None:
    """Make the first head of a layer look where the answer so far was least likely, and tell how likely that was.

    It looks by the rotary dimension that turns least, so that it hardly matters how far back that is.
    """
    head = attention.head_dim
    turns_least = head // 2 - 1
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[:head] = 0
    attention.q_proj.bias[turns_least] = math.sqrt(head)
    attention.k_proj.weight[turns_least] = -_KEEN * reader.weight[0]
    attention.v_proj.weight[0] = reader.weight[0]
    attention.v_proj.bias[0] = reader.bias[0]
    attention.o_proj.weight[room.found.start + 1, 0] = _TYPICAL


def _even(norm: Any, states: Tensor, room: Room) -> None:
    """Set a norm so that what stands in every block comes out of it about as large."""
    norm.weight.fill_(1.0)
    made = norm(states)
    for block in room.blocks:
        size = made[:, block].pow(2).mean().sqrt()
        norm.weight[block] = 1 / size if size > 0 else 1.0


def _spared(gradient: Tensor, rows: slice) -> Tensor:
    """A gradient without some rows: norms enlarge what is carried there so much that nothing may be written to it."""
    left = gradient.clone()
    left[rows] = 0
    return left


def _states(body: Any, at: Any, samples: Sequence[Sample]) -> Tensor:
    """What a module of a model's body is given at every token of some texts, one after another."""
    given: list[Tensor] = []
    found: list[Tensor] = []
    hook = at.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    device = next(body.parameters()).device
    for start in range(0, len(samples), _READ_AT_ONCE):
        rows = [torch.tensor(list(each.ids), device=device) for each in samples[start : start + _READ_AT_ONCE]]
        body(input_ids=pad_sequence(rows, batch_first=True), use_cache=False)
        found += [states[: len(row)] for states, row in zip(given.pop(), rows, strict=True)]
    hook.remove()
    return torch.cat(found)
