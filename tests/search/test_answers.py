"""Finding the final answer in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search.answers import answer_of, find
from tests.randomness import examples


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So \\boxed{5}.", "5"),
        ("First \\boxed{4}, no: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("<think>2</think><answer> 42 </answer>", "42"),
        ("reasoning\n#### 1,234", "1,234"),
        ("Long story.\nThe final answer is **17**.", "17"),
        ("Answer: $x+1$.", "x+1"),
        ("The answer is Debra. She is fastest.", "Debra"),
        ("Final Answer:\n\n\\(3\\sqrt{2}\\)", "3\\sqrt{2}"),
    ],
)
def test_marked_answers(text: str, answer: str) -> None:
    """A box, a tag, four hashes or the words mark an answer; the last one counts."""
    found = find(text)
    assert found is not None
    assert (found.answer, found.is_marked) == (answer, True)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hence the distance is \\(3\\sqrt{13}\\).", "3\\sqrt{13}"),
        ("We add.\n\nSo 196 has exactly **9** divisors.", "9"),
        ("We get 12 and then 30 in the end", "30"),
        ("Paris", "Paris"),
        ('{"a": [1, 2]}', '{"a": [1, 2]}'),
        ("It prints:\n```text\n1\n2\n```\nas asked", "1\n2"),
        ("so\n\n\\[ x = 2 + 3 = 5 \\]", "5"),
    ],
)
def test_unmarked_answers(text: str, answer: str) -> None:
    """Without a mark it is the whole of a short text, a fenced block, or what stands last."""
    found = find(text)
    assert found is not None
    assert (found.answer, found.is_marked) == (answer, False)


@pytest.mark.parametrize("text", ["", "  \n", "\\boxed{5", "I do not know what to say about this question at all"])
def test_no_answer(text: str) -> None:
    """A text without an answer has none, and a box that is never closed is none."""
    assert answer_of(text) is None


def test_of_a_text_that_was_cut_off_only_a_mark_counts() -> None:
    """The last number of a cut text is a step on the way; a box is an answer."""
    assert find("then 12 + 30 = 4", is_cut=True) is None
    assert find("\\boxed{9} and to check, 3", is_cut=True) == ("9", True)


@examples(200)
@given(st.text(alphabet="\\boxed{}<answer/>#$*`(.)[=1 \n"))
def test_any_text_is_read(text: str) -> None:
    """No text, however broken, makes it fail, and an answer that is found is not blank."""
    found = find(text)
    assert found is None or found.answer
