"""Write tiny reward models with random weights, one folder each, for vLLM to serve.

Run by the Python of vLLM's environment: ``make_reward_models.py FOLDER``. Their scores are noise; that
real heads behind a real vLLM answer as verifiers expect is the point.

``outcome`` is a Llama that classifies a text into one class; ``steps`` a Qwen2 with a process reward
model's head, which vLLM pools at each ``<extra_0>``.
"""

from __future__ import annotations

import string
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

CONTEXT_TOKENS = 1024
_SPECIAL = ["<unk>", "<s>", "</s>", "<extra_0>"]
_WIDTH = 64
_SIZES = {
    "hidden_size": _WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def main(folder: Path) -> None:
    """Write both models with their tokenizers below ``folder``."""
    torch.manual_seed(20260102)
    words = len(_SPECIAL) + len(string.printable)
    outcome = folder / "outcome"
    LlamaForSequenceClassification(LlamaConfig(vocab_size=words, num_labels=1, **_SIZES)).save_pretrained(outcome)
    _write_tokenizer(outcome)

    steps = folder / "steps"
    config = Qwen2Config(vocab_size=words, num_labels=2, **_SIZES)
    body = {name: value for name, value in Qwen2ForCausalLM(config).state_dict().items() if name != "lm_head.weight"}
    head = {
        "score.0.weight": torch.randn(_WIDTH, _WIDTH) / 8,
        "score.0.bias": torch.randn(_WIDTH),
        "score.2.weight": torch.randn(2, _WIDTH) / 8,
        "score.2.bias": torch.randn(2),
    }
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.save_pretrained(steps)
    save_file(
        {name: value.contiguous() for name, value in (body | head).items()},
        steps / "model.safetensors",
        metadata={"format": "pt"},
    )
    _write_tokenizer(steps)


def _write_tokenizer(folder: Path) -> None:
    """A token for each character, and for the step tag."""
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *string.printable])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        additional_special_tokens=["<extra_0>"],
        model_max_length=CONTEXT_TOKENS,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
