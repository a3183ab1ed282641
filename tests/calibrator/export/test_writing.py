"""Sets of rows in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from calibrator.export.writing import SetWriter, split_of
from gateway.errors import ConfigurationError


def _row(item: str, **columns: Any) -> Mapping[str, Any]:
    return {"item": item, **columns}


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_rows_are_written_once_and_split_by_item(tmp_path: Path) -> None:
    """All rows of an item are in one file, and the description says how many."""
    with SetWriter(tmp_path / "set", test_share=0.3) as writer:
        for number in range(200):
            for place, text in enumerate(("ä", "b", "b")):
                writer.add(_row(f"i{number}", completion=text, score=place))
        said = writer.finish({"kind": "sft"})
    train, test = (_lines(tmp_path / "set" / f"{name}.jsonl") for name in ("train", "test"))
    assert len(train) + len(test) == 400
    assert not {row["item"] for row in train} & {row["item"] for row in test}
    assert 20 < said["items"]["test"] < 100
    assert said["repeated"] == 200
    assert json.loads((tmp_path / "set" / "export.json").read_text())["kind"] == "sft"


def test_an_item_is_always_in_the_same_split() -> None:
    """And a larger share keeps those that a smaller one chose."""
    items = [f"i{number}" for number in range(500)]
    chosen = {share: {item for item in items if split_of(item, share) == "test"} for share in (0.0, 0.1, 0.3)}
    assert not chosen[0.0]
    assert chosen[0.1] < chosen[0.3]


def test_a_run_that_fails_leaves_the_files_of_the_run_before(tmp_path: Path) -> None:
    """Nothing half-written is left either."""
    with SetWriter(tmp_path, test_share=0.0) as writer:
        writer.add(_row("first"))
        writer.finish({})
    with pytest.raises(TypeError, match="JSON"), SetWriter(tmp_path, test_share=0.0) as writer:
        writer.add(_row("second", text=object()))
    assert _lines(tmp_path / "train.jsonl") == [{"item": "first"}]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["export.json", "train.jsonl"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """With its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"), SetWriter(tmp_path / "file" / "set", test_share=0.1):
        pass
