"""Golden files: what is read from a policy's folder, and each fault with its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calibrator.items.golden import read_golden
from calibrator.items.item import digest_of
from gateway.domain.check import Kind, TruthCheck
from gateway.errors import ConfigurationError

CHECK = {"kind": "math", "answer": "4"}
PLAIN = {"prompt": "2 + 2?", "check": CHECK}


def _write(folder: Path, *rows: Any, name: str = "sums.jsonl") -> Path:
    (folder / "golden").mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "golden" / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_an_item_is_a_prompt_and_its_check(tmp_path: Path) -> None:
    """What is left out stays open: category and difficulty are None, and the id is a digest that stays the same."""
    (item,) = read_golden(_write(tmp_path, PLAIN))
    assert item.messages == ({"role": "user", "content": "2 + 2?"},)
    assert item.check == TruthCheck(Kind.MATH, ("4",))
    assert (item.category, item.difficulty) == (None, None)
    assert (item.id,) == tuple(each.id for each in read_golden(_write(tmp_path, "", PLAIN)))


def test_an_item_may_say_all_of_it(tmp_path: Path) -> None:
    """A conversation, an id, a path as category, a difficulty."""
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    whole = {"id": "a", "messages": turns, "category": "math/sums", "difficulty": "easy", "check": CHECK}
    (item,) = read_golden(_write(tmp_path, whole))
    assert (item.id, item.cell) == ("a", ("math/sums", "easy"))
    assert (item.problem.system, item.problem.question) == ("Be brief.", "2 + 2?")


def test_files_are_read_in_the_order_of_their_names_and_none_is_needed(tmp_path: Path) -> None:
    """Without the folder there are no golden items."""
    assert read_golden(tmp_path) == ()
    _write(tmp_path, {**PLAIN, "id": "b"}, name="b.jsonl")
    _write(tmp_path, {**PLAIN, "id": "a"}, name="a.jsonl")
    assert [item.id for item in read_golden(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[]", "a list; one object"),
        ({**PLAIN, "answer": 4}, "'answer' is unknown"),
        ({"prompt": "2 + 2?"}, "no check"),
        ({"check": CHECK}, "no prompt, or two"),
        ({**PLAIN, "messages": []}, "no prompt, or two"),
        ({"prompt": " ", "check": CHECK}, "prompt: a text is expected"),
        ({"messages": [{"role": "user"}], "check": CHECK}, "messages: a list of {role, content}"),
        ({"messages": [{"role": "assistant", "content": "4"}], "check": CHECK}, "the last of role user"),
        ({**PLAIN, "id": 7}, "id: a text of 1 to 200 characters"),
        ({**PLAIN, "category": "sums"}, "category: 'sums' is unknown; there are math, code"),
        ({**PLAIN, "difficulty": "tricky"}, "difficulty: 'tricky' is unknown; there are easy, medium"),
        ({**PLAIN, "check": {"kind": "choice", "answer": "all"}}, "'check.answer' of a choice must be one letter"),
        ({**PLAIN, "check": {"kind": "math", "answer": "4", "tolerance": 1}}, "'check' of this kind takes"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(tmp_path: Path, row: Any, said: str) -> None:
    """So that it can be mended without looking for it."""
    with pytest.raises(ConfigurationError, match=r"golden/sums\.jsonl, line 2: ") as raised:
        read_golden(_write(tmp_path, {**PLAIN, "id": "fine"}, row))
    assert said in raised.value.message


def test_two_items_of_one_id_are_refused(tmp_path: Path) -> None:
    """With the places of both."""
    _write(tmp_path, {**PLAIN, "id": "a"})
    _write(tmp_path, {**PLAIN, "id": "a"}, name="more.jsonl")
    said = r"golden/sums\.jsonl, line 1: id: 'a' is that of golden/more\.jsonl, line 1 already"
    with pytest.raises(ConfigurationError, match=said):
        read_golden(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """With the place of the first."""
    _write(tmp_path, PLAIN)
    (tmp_path / "golden" / "sums.jsonl").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text at byte 1"):
        read_golden(tmp_path)


def test_a_digest_is_of_what_items_say_and_not_of_their_order(tmp_path: Path) -> None:
    """Another answer is another digest."""
    items = read_golden(_write(tmp_path, {**PLAIN, "id": "a"}, {**PLAIN, "id": "b"}))
    assert digest_of(items) == digest_of(items[::-1])
    other = read_golden(_write(tmp_path, {**PLAIN, "id": "a"}, {**PLAIN, "id": "b", "check": {**CHECK, "answer": "5"}}))
    assert digest_of(items) != digest_of(other)
