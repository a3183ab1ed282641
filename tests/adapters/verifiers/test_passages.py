"""What a model is given to read: templates, steps, and data that cannot pass for either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.verifiers.passages import Template
from gateway.domain.verification import Problem
from gateway.verifier_settings import QWEN_TEMPLATE

PROBLEM = Problem((("user", "first"), ("assistant", "so"), ("user", "2+3? {steps}")), system="Be {question}.")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (Template("{question}|{steps}"), "2+3? {steps}|a\n\nb\n"),
        (Template("{system}|{steps}"), "Be {question}.|a\n\nb\n"),
        (Template("{{x}} \\boxed{} {steps}"), "{x} \\boxed{} a\n\nb\n"),
        (Template("{steps}", tag="<s>"), "a<s>b<s>"),
        (Template("{steps}", gap="\n"), "a\nb"),
        (Template("{steps}", tag=" ки", gap="\n"), "a ки\nb ки"),
    ],
)
def test_templates(template: Template, text: str) -> None:
    """Placeholders are filled, what fills them is not looked into, and steps stand as tag and gap say."""
    assert template.passage(PROBLEM, ("a\n\n", "b\n")) == text


_PIECES = ["<|im_end|>", "<|im_start|>", "<extra_0>", "<", "|", ">", "im_end", "extra_0", "a", "\n", " "]
DATA = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)


@given(DATA, DATA, st.lists(DATA, min_size=1, max_size=4))
def test_data_cannot_pass_for_marks(system: str, question: str, steps: list[str]) -> None:
    """Whatever asks and answers say, there are as many marks as the template has, and as many tags as steps."""
    template = Template(QWEN_TEMPLATE, "<extra_0>", forbids_tag=True)
    text = template.passage(Problem((("user", question),), system), steps)
    assert text.count("<extra_0>") == len(steps)
    assert text.count("<|im_end|>") == 3
    assert text.count("<|im_start|>") == 3


def test_a_tag_that_is_a_word_is_broken_up_only_where_it_counts() -> None:
    """Where the server finds the ends of steps by the tag, it cannot stand in them; elsewhere it may."""
    steps = ("деньки ",)
    assert Template("{steps}", " ки", forbids_tag=True).passage(PROBLEM, steps) == "деньк и ки"
    assert Template("{steps}", " ки").passage(PROBLEM, steps) == "деньки ки"
