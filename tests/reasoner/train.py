"""Train the reasoners and write them, in the layout of Hugging Face, to ``weights/``: ``make reasoner``.

Run from the repository's root by the Python of vLLM's environment, which has torch and transformers:
``.venv-vllm/bin/python -m tests.reasoner.train small large --threads 2``. The same seed and number of threads
on the same machine give the same weights; elsewhere sums are rounded otherwise, and a model of the same
strength comes out.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.reasoner.prompts import BEGIN, CHAT_TEMPLATE, CONTEXT_TOKENS, END, UNKNOWN, VOCABULARY, encode
from tests.reasoner.tasks import Problem, problems

WEIGHTS = Path(__file__).with_name("weights")
HEAD_WIDTH = 32
ROWS = 12
ROW_TOKENS = 320
MOST_OPERATIONS = 12
SEED = 20260101
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
SAID_EVERY = 50
_IGNORED = -100
"""The label that cross_entropy leaves out."""
_BEGIN_ID, _END_ID = VOCABULARY.index(BEGIN), VOCABULARY.index(END)


@dataclass(frozen=True, slots=True)
class Size:
    """What tells one reasoner from another."""

    layers: int
    width: int
    inner_width: int
    steps: int


SIZES = {
    "small": Size(layers=3, width=64, inner_width=128, steps=1300),
    "large": Size(layers=4, width=128, inner_width=256, steps=1800),
}


def main() -> None:
    """Train the reasoners that are named, or all."""
    parser = argparse.ArgumentParser(description="Train the reasoners of the test bed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(SIZES)}; all, if none is named")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - SIZES.keys():
        parser.error(f"there is no reasoner {unknown.pop()!r}; there are {', '.join(SIZES)}")
    torch.set_num_threads(arguments.threads)
    for name in arguments.names or SIZES:
        train(name, SIZES[name]).to(torch.bfloat16).save_pretrained(WEIGHTS / name)
        tokenizer().save_pretrained(WEIGHTS / name)


def train(name: str, size: Size) -> LlamaForCausalLM:
    """A reasoner of one size, trained from nothing."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(configuration(size))
    print(f"{name}: {sum(each.numel() for each in model.parameters()):,} weights", flush=True)
    optimizers = optimizers_of(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, partial(pace, steps=size.steps)) for each in optimizers]
    started, tokens = time.monotonic(), 0
    for step, (ids, labels) in zip(range(1, size.steps + 1), batches(size.steps), strict=False):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        loss.backward()
        clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
        for each in (*optimizers, *schedules):
            each.step()
        model.zero_grad()
        tokens += ids.numel()
        if step % SAID_EVERY == 0 or step == size.steps:
            spent, processor = time.monotonic() - started, time.process_time()
            said = f"{name}: step {step} of {size.steps}, loss {loss.item():.4f}, {tokens:,} tokens"
            print(f"{said}, {spent:.0f} s, {processor:.0f} s of processor time", flush=True)
    return model


def optimizers_of(model: LlamaForCausalLM) -> tuple[Optimizer, Optimizer]:
    """Muon for the matrices within the layers, AdamW for the embedding and the norms."""
    named = dict(model.named_parameters())
    matrices = {name: weight for name, weight in named.items() if "layers" in name and weight.ndim > 1}
    rest = [weight for name, weight in named.items() if name not in matrices]
    return (
        torch.optim.Muon(
            matrices.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0),
    )


def pace(step: int, steps: int) -> float:
    """The share of the learning rate: rising over 100 steps, then even, falling to 0 over the last 40 percent."""
    return min(1.0, (step + 1) / 100, (steps - step) / (0.4 * steps))


def batches(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of token ids, and of what is to be learnt from them: the solutions; a question is given.

    Problems grow from at most two operations to the most over the first quarter of the steps.
    """
    chance = random.Random(SEED)
    streams = [problems("train", operations, SEED) for operations in range(1, MOST_OPERATIONS + 1)]
    for step in count():
        known = streams[: max(2, MOST_OPERATIONS * 4 * step // steps)]
        rows = [row(known, chance) for _ in range(ROWS)]
        yield torch.tensor([ids for ids, _ in rows]), torch.tensor([labels for _, labels in rows])


def row(streams: list[Iterator[Problem]], chance: random.Random) -> tuple[list[int], list[int]]:
    """One row: problems of mixed difficulty with their solutions, one after another as in a chat with examples."""
    ids, labels = [_BEGIN_ID], [_IGNORED]
    while True:
        problem = next(chance.choice(streams))
        question, solution = encode(problem.question + "\n"), [*encode(problem.solution), _END_ID]
        if len(ids) + len(question) + len(solution) > ROW_TOKENS:
            missing = ROW_TOKENS - len(ids)
            return ids + [_END_ID] * missing, labels + [_IGNORED] * missing
        ids += question + solution
        labels += [_IGNORED] * len(question) + solution


def configuration(size: Size) -> LlamaConfig:
    """The shape of a reasoner."""
    return LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=size.width,
        intermediate_size=size.inner_width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // HEAD_WIDTH,
        num_key_value_heads=size.width // HEAD_WIDTH,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=_BEGIN_ID,
        eos_token_id=_END_ID,
        tie_word_embeddings=True,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that makes every character a token, unknown ones ``<unk>``, and begins a text with ``<s>``."""
    inner = Tokenizer(WordLevel({token: number for number, token in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    inner.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, _BEGIN_ID)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
    )


if __name__ == "__main__":
    main()
