"""Write a tiny Llama with random weights, with tokenizer and chat template, for vLLM to serve.

Run by the Python of vLLM's environment: ``make_model.py FOLDER``. What it says is noise; that it is
a real model behind a real vLLM is the point.
"""

from __future__ import annotations

import string
import sys
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT_TOKENS = 512
_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
)


def main(folder: Path) -> None:
    """Write model and tokenizer to ``folder``."""
    special = ["<unk>", "<s>", "</s>"]
    vocabulary = {token: number for number, token in enumerate([*special, *string.printable])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
    ).save_pretrained(folder)
    torch.manual_seed(20260101)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=160,
            intermediate_size=320,
            num_hidden_layers=2,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=CONTEXT_TOKENS,
            bos_token_id=1,
            eos_token_id=2,
            tie_word_embeddings=True,
        )
    ).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
