"""How a problem is put to a reasoner: as a chat with worked examples, as text, and as token ids.

A token is a character. The examples are the same in every prompt, so that prompts share a beginning
of more than three of the 32-token blocks in which vLLM caches prompts on a processor.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from tests.reasoner.tasks import Problem, parse

UNKNOWN: Final = "<unk>"
BEGIN: Final = "<s>"
END: Final = "</s>"
VOCABULARY: Final = (UNKNOWN, BEGIN, END, *string.printable)
"""Every token; its place is its id."""
CONTEXT_TOKENS: Final = 1024
EXAMPLES: Final = (parse("Q:58 -19 *4 +67"), parse("Q:64 -25 *7 +86"))
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
)
"""Any list of messages: what the reasoner said ends as it ended it, and what others say ends its line."""
_IDS: Final = {token: number for number, token in enumerate(VOCABULARY)}


class Message(TypedDict):
    """A message of a chat, in the form of the OpenAI API."""

    role: str
    content: str


def messages(problem: Problem, examples: Sequence[Problem] = EXAMPLES) -> list[Message]:
    """The chat that asks for a problem's solution, after worked examples."""
    chat: list[Message] = []
    for example in examples:
        chat.append({"role": "user", "content": example.question})
        chat.append({"role": "assistant", "content": example.solution})
    return [*chat, {"role": "user", "content": problem.question}]


def render(chat: Iterable[Message]) -> str:
    """A chat as one text, exactly as the model's chat template renders it."""
    return BEGIN + "".join(message["content"] + (END if message["role"] == "assistant" else "\n") for message in chat)


def prompt(problem: Problem, examples: Sequence[Problem] = EXAMPLES) -> str:
    """The text after which a reasoner writes the problem's solution; the tokenizer puts ``<s>`` before a text."""
    return render(messages(problem, examples)).removeprefix(BEGIN)


def encode(text: str) -> list[int]:
    """The token ids of what stands between the special tokens, one for each character."""
    return [_IDS.get(character, 0) for character in text]


def prompt_ids(problem: Problem, examples: Sequence[Problem] = EXAMPLES) -> list[int]:
    """The token ids of ``prompt``, and of the chat, from ``<s>`` on."""
    ids = [_IDS[BEGIN]]
    for message in messages(problem, examples):
        ids += [*encode(message["content"]), _IDS[END if message["role"] == "assistant" else "\n"]]
    return ids


def decode(ids: Iterable[int]) -> str:
    """The text of token ids."""
    return "".join(VOCABULARY[each] for each in ids)
