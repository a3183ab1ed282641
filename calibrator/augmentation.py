"""Other ways to say the same prompt, so that the classifier learns the work asked for and not a source's template.

Every variant keeps its prompt's category. What made the prompt recognisable changes: sentences fall away
(sources repeat their format instructions in every prompt), greetings and frames come around it.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Sequence

_FRAMES = (
    "Hi, can you help me with this?\n\n{}",
    "{}\n\nThanks in advance!",
    "Question: {}\nAnswer:",
    "### Instruction:\n{}\n\n### Response:",
    "I have been stuck on this for an hour. {}",
    "{}\n\nPlease think carefully.",
    "{} Explain your reasoning.",
    "{}\n\nKeep it short.",
    "hey, quick one: {}",
    "Please do the following for me: {}",
    "My colleague asked me this and I'd like your help.\n{}",
    "You are a helpful assistant. {}",
    "Task: {}",
    "{}\n\nReply with the final answer only.",
    "Could you have a look at this? {}",
    "1. {}",
    "For a class I teach: {}",
    "{} Give the answer in JSON.",
)
_SENTENCE = re.compile(r"(?<=[.!?。？！])\s+|\n")
_DROP = 0.35
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LEAST_SENTENCES = 3


def framed(text: str, random_: random.Random) -> str:
    """The prompt inside what people and programs put around prompts."""
    return random_.choice(_FRAMES).format(text)


def thinned(text: str, random_: random.Random) -> str:
    """The prompt without some of its sentences or lines; unchanged if it has but two."""
    parts = [match.span() for match in _SENTENCE.finditer(text)]
    starts, ends = [0, *(end for _, end in parts)], [*(end for _, end in parts), len(text)]
    sentences = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    if len(sentences) < _LEAST_SENTENCES:
        return text
    kept = "".join(sentence for sentence in sentences if random_.random() > _DROP)
    return kept if kept.strip() else text


def lowered(text: str, _: random.Random) -> str:
    """The prompt as people type it on a phone."""
    return text.lower().rstrip(".?!")


VARIATIONS: Sequence[Callable[[str, random.Random], str]] = (framed, thinned, framed, thinned, lowered)


def varied(text: str, random_: random.Random) -> str:
    """One or two variations of a prompt, one upon the other."""
    once = random_.choice(VARIATIONS)(text, random_)
    return random_.choice(VARIATIONS)(once, random_) if random_.random() < _DROP else once


def nonsense(count: int, vocabulary: Sequence[str], random_: random.Random) -> list[str]:
    """Texts that ask for nothing: keys hit at random, bytes in some encoding, words without order."""
    makers: tuple[Callable[[], str], ...] = (
        lambda: " ".join(
            "".join(random_.choices(_LETTERS, k=random_.randint(2, 12))) for _ in range(random_.randint(1, 15))
        ),
        lambda: base64.b64encode(random_.randbytes(random_.randint(8, 200))).decode(),
        lambda: random_.randbytes(random_.randint(4, 90)).hex(" "),
        lambda: " ".join(random_.choices(vocabulary, k=random_.randint(3, 40))),
        lambda: "".join(chr(random_.randint(33, 126)) for _ in range(random_.randint(3, 120))),
        lambda: "".join(chr(random_.randint(0xA1, 0x2FFF)) for _ in range(random_.randint(3, 80))),
        lambda: random_.choice(_LETTERS) * random_.randint(1, 60),
        lambda: " ".join(random_.choices("01", k=random_.randint(4, 60))),
    )
    return [random_.choice(makers)() for _ in range(count)]


def _mashed(random_: random.Random) -> str:
    return "".join(random_.choices(_LETTERS, k=random_.randint(2, 12)))
