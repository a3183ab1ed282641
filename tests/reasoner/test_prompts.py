from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reasoner.prompts import (
    CHAT_TEMPLATE,
    EXAMPLES,
    UNKNOWN,
    VOCABULARY,
    decode,
    encode,
    messages,
    prompt,
    prompt_ids,
    render,
)
from tests.reasoner.tasks import fresh, split_of

_WEIGHTS = Path(__file__).with_name("weights")
_CACHE_BLOCK_TOKENS = 32
_PROBLEM = fresh("test", 3, 1, 1)[0]


def test_a_prompt_shows_worked_examples_and_ends_with_the_question() -> None:
    """The reasoner writes on after the question's line; each example is a question and its whole solution."""
    assert prompt(_PROBLEM).startswith(f"{EXAMPLES[0].question}\n{EXAMPLES[0].solution}</s>")
    assert prompt(_PROBLEM).endswith(f"</s>{_PROBLEM.question}\n")
    assert prompt(_PROBLEM, examples=()) == f"{_PROBLEM.question}\n"


def test_prompts_share_a_beginning_of_several_cache_blocks() -> None:
    """What all prompts begin with fills at least three blocks of vLLM's prefix cache on a processor."""
    other = fresh("test", 3, 2, 2)[1]
    shared = len(prompt_ids(_PROBLEM)) - len(encode(_PROBLEM.question + "\n"))
    assert prompt_ids(_PROBLEM)[:shared] == prompt_ids(other)[:shared]
    assert shared >= 3 * _CACHE_BLOCK_TOKENS


def test_examples_are_no_test_problems() -> None:
    """What is shown solved in every prompt is not asked in a test."""
    assert all(len(example.operations) < 4 for example in EXAMPLES)
    assert {split_of(example) for example in EXAMPLES} == {"train"}


def test_token_ids_are_the_prompt_character_by_character() -> None:
    """The ids of a prompt decode to the rendered chat, and to the prompt's text after the token that begins it."""
    assert decode(prompt_ids(_PROBLEM)) == render(messages(_PROBLEM)) == "<s>" + prompt(_PROBLEM)


def test_unknown_characters_have_a_token() -> None:
    """Any text can be encoded; what the vocabulary lacks becomes the unknown token."""
    assert decode(encode("A:1 é😀")) == f"A:1 {UNKNOWN}{UNKNOWN}"


def test_any_chat_renders() -> None:
    """Roles may come in any order and number."""
    assert render([]) == "<s>"
    chat = [("system", "be brief"), ("user", "Q:1"), ("assistant", "A:1"), ("assistant", "A:2"), ("tool", "x")]
    assert render({"role": role, "content": content} for role, content in chat) == (
        "<s>be brief\nQ:1\nA:1</s>A:2</s>x\n"
    )
    assert messages(_PROBLEM)[-1] == {"role": "user", "content": _PROBLEM.question}


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_committed_tokenizers_are_these(size: str) -> None:
    """Vocabulary and chat template beside the weights equal those of the code."""
    vocabulary = json.loads((_WEIGHTS / size / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert sorted(vocabulary, key=vocabulary.__getitem__) == list(VOCABULARY)
    assert (_WEIGHTS / size / "chat_template.jinja").read_text("utf-8") == CHAT_TEMPLATE
