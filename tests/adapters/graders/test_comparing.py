"""Answers compared with a truth as text, and what of an answer is checked."""

from __future__ import annotations

import pytest

from gateway.adapters.graders.comparing import (
    LONGEST_COMPARED,
    choice_of,
    code_of,
    final_answer,
    is_chosen,
    is_exactly,
    is_same_formula,
    json_of,
)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("The answer is (C).", "C"),
        ("Answer: D. Paris", "D"),
        ("We see that…\n\n**A**", "A"),
        (r"Therefore \boxed{\textbf{(E)}}", "E"),
        (r"So it is \boxed{C}", "C"),
        ("First A looks right, but no.\nB) is what remains", "B"),
        ("<answer>12</answer>", "12"),
        ("A dog has four legs", None),
        ("Because of that", None),
        ("", None),
    ],
)
def test_a_choice_is_read_from_how_models_write_it(text: str, chosen: str | None) -> None:
    """A letter or number counts as chosen where it stands for itself, and not where it begins a sentence."""
    assert choice_of(text) == chosen


def test_a_choice_is_compared_without_regard_to_case() -> None:
    """The caller may write b for B; several may be right; no choice is a wrong one."""
    assert is_chosen("The answer is B.", ("b",))
    assert is_chosen("The answer is B.", ("A", "b"))
    assert not is_chosen("The answer is B.", ("A",))
    assert not is_chosen("I cannot say which one of them that would be", ("A",))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("Paris", True),
        ("  Paris\n", True),
        ("It is on the Seine.\nThe answer is Paris.", True),
        (r"\boxed{Paris}", True),
        ("paris", False),
        ("Paris, Texas", False),
    ],
)
def test_exact_means_the_same_characters(text: str, holds: bool) -> None:
    """The text or its final answer is the truth but for blanks; case and all else count."""
    assert is_exactly(text, ("Paris",)) is holds
    assert is_exactly(text, ("Rome", "Paris")) is holds


def test_exact_sees_through_how_characters_are_composed() -> None:
    """An accent may be a character of its own or not, and a line may be broken anywhere."""
    assert is_exactly("Cafe\u0301  au\nlait", ("Caf\u00e9 au lait",))


@pytest.mark.parametrize(
    ("answer", "golds", "holds"),
    [
        ("0.5", ["1/2"], True),
        (r"\frac{1}{2}", ["0.5"], True),
        ("1,000", ["1000"], True),
        ("42", ["41", "42"], True),
        ("42", ["41"], False),
        ("42", ["41", "x"], None),
        ("50", ["50%"], None),
        ("2/3", ["0.67"], None),
        ("x+1", ["x+2"], None),
    ],
)
def test_only_plain_numbers_are_told_apart_without_algebra(answer: str, golds: list[str], holds: bool | None) -> None:
    """What is equal is known at once; that something is not, only of numbers in digits."""
    assert is_same_formula(answer, golds) is holds


def test_the_final_answer_is_cut_from_its_end() -> None:
    """A text without a final answer is compared by its last characters."""
    text = "word " * 5_000 + "end of it all"
    assert final_answer(text) == text[-LONGEST_COMPARED:]


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('Here it is:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}'),
        ("```\n1\n```\n```json\n2\n```", "2"),
        (' "text" ', '"text"'),
        ('{"code": "```\\nx\\n```"}', '{"code": "```\\nx\\n```"}'),
    ],
)
def test_json_stands_alone_or_in_the_last_fence(text: str, document: str) -> None:
    """A text that begins as JSON is all JSON, whatever fences are in its strings."""
    assert json_of(text) == document


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na = 1\n```", "a = 1"),
        ("```python\na = 1\n```\nor better\n```py\na = 2\n```\nRun it:\n```bash\npython a.py\n```", "a = 2"),
        ("```\na = 1\n```\n```text\n1\n```", "a = 1"),
        ("```\nold\n```\n```python\na = 1\n```\n```\noutput\n```", "a = 1"),
        ("```python\nif a:\n    b()\n", "if a:\n    b()"),
        ("a = 1\n", "a = 1\n"),
    ],
)
def test_code_is_the_last_fence_of_python(text: str, code: str) -> None:
    """Other languages and outputs are left aside; a text without fences is the code itself."""
    assert code_of(text) == code
