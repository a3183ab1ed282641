"""Attempts are kept, and found again by the next run."""

from __future__ import annotations

from pathlib import Path

from tests.bench_search.attempts import Attempt, Draw, Kept, Use

ATTEMPT = Attempt(
    setting="s", arm="vote 8", split="test", operations=4, question="Q:12 +34", is_right=True, status=200, wall_s=0.5,
    uses={"small": Use(100, 96, 20)}, draws=(Draw(20, 0, None, True, 46),), cacheable=96, from_cache=96,
)  # fmt: skip


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    """Every field comes back as it was."""
    Kept(tmp_path / "kept.jsonl").add([ATTEMPT])
    assert Kept.at(tmp_path / "kept.jsonl").attempts == {ATTEMPT.key: ATTEMPT}


def test_a_line_that_a_kill_left_unfinished_is_left_out(tmp_path: Path) -> None:
    """All lines before it count."""
    file = tmp_path / "kept.jsonl"
    Kept(file).add([ATTEMPT])
    with file.open("a") as out:
        out.write('{"setting": "s", "ar')
    assert list(Kept.at(file).attempts) == [ATTEMPT.key]
