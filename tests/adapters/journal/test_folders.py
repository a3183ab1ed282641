"""Tests of gateway/adapters/journal/folders.py."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapters.journal.folders import BEGINNING, Folder, Progress, adopt, create


def orphaned(root: Path) -> Path:
    """A folder whose process is gone."""
    folder = create(root)
    folder.close()
    return folder.path


def test_only_its_owner_may_look_into_the_journal(tmp_path: Path) -> None:
    """The folders are closed to others, and so are the files in them."""
    root = tmp_path / "journal"
    root.mkdir(mode=0o755)
    folder = create(root)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    folder.close()


def test_a_folder_is_its_process_s_while_that_lives(tmp_path: Path) -> None:
    """A folder is adopted once its process has let go of it, and by one adopter only."""
    folder = create(tmp_path)
    assert adopt(tmp_path, ignoring=()) == []
    folder.close()
    adopted = adopt(tmp_path, ignoring=())
    assert [each.path for each in adopted] == [folder.path]
    assert adopt(tmp_path, ignoring=()) == []
    adopted[0].close()


def test_of_two_processes_one_adopts(tmp_path: Path) -> None:
    """When many processes look for orphans at the same moment, each folder goes to exactly one."""
    paths = sorted(str(orphaned(tmp_path)) for _ in range(20))
    # Each looks until all have looked, so that none ends, and lets go, before another begins.
    program = (
        "import sys; from pathlib import Path; from gateway.adapters.journal.folders import adopt\n"
        "sys.stdin.readline()\n"
        "print(*(folder.path for folder in adopt(Path(sys.argv[1]), ignoring=())), sep='\\n', flush=True)\n"
        "sys.stdin.read()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    adopted: list[str] = []
    while len(adopted) < len(paths):
        for process in processes:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            adopted += [line.strip() for line in process.stdout.readlines() if line.strip()]
    for process in processes:
        process.communicate()
    assert sorted(adopted) == paths


def test_only_folders_of_processes_are_adopted(tmp_path: Path) -> None:
    """What else lies there, and what the caller wants ignored, is left alone."""
    left = orphaned(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").touch()
    assert adopt(tmp_path, ignoring={left}) == []


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    """Removing deletes all that is in a folder, and leaves nothing to adopt."""
    folder = create(tmp_path)
    folder.segment(1).write_bytes(b"x")
    folder.remove()
    assert not folder.path.exists()
    assert adopt(tmp_path, ignoring=()) == []


@pytest.mark.parametrize("progress", [Progress((3, 4_000_000_000)), Progress((1, 0), is_finished=True)])
def test_the_checkpoint_is_remembered(tmp_path: Path, progress: Progress) -> None:
    """The next process finds what was noted last."""
    folder = create(tmp_path)
    folder.note(Progress((9, 9)))
    folder.note(progress)
    folder.close()
    [adopted] = adopt(tmp_path, ignoring=())
    assert adopted.progress() == progress
    adopted.close()


def test_a_damaged_checkpoint_is_the_beginning(tmp_path: Path) -> None:
    """A checkpoint is believed whole or not at all: moving again is harmless, moving too little is not."""
    folder = create(tmp_path)
    assert folder.progress() == Progress(BEGINNING)
    folder.note(Progress((7, 7)))
    path = folder.path / "checkpoint"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert folder.progress() == Progress(BEGINNING), place
        path.write_bytes(whole[:place])
        assert folder.progress() == Progress(BEGINNING), place
    folder.close()


def test_after_a_power_cut_everything_is_moved_again(tmp_path: Path) -> None:
    """The checkpoint of an earlier start of the machine is not relied upon, until it is claimed."""
    folder = create(tmp_path)
    folder.note(Progress((7, 7)))
    (folder.path / "owner").write_bytes(b"an earlier start")
    assert folder.progress() == Progress(BEGINNING)
    folder.note(Progress((2, 2)))
    folder.claim()
    assert folder.progress() == Progress((2, 2))
    folder.close()


def test_segments_are_found_in_order(tmp_path: Path) -> None:
    """Segments come by number, and the end is that of the last one."""
    folder = create(tmp_path)
    assert folder.end() == BEGINNING
    for number in (11, 2, 100_000_000):
        folder.segment(number).write_bytes(b"x" * number if number < 50 else b"last")
    (folder.path / "other.txt").touch()
    assert folder.segments() == [2, 11, 100_000_000]
    assert folder.end() == (100_000_000, 4)
    folder.close()


def retired(folder: Folder, *, before: int, unchanged_since: float) -> list[int]:
    """The segments left of three, written at seconds 1, 2 and 3."""
    for number in (1, 2, 3):
        folder.segment(number).touch()
        os.utime(folder.segment(number), (number, number))
    folder.retire(before=(before, 0), unchanged_since=unchanged_since)
    return folder.segments()


def test_segments_that_were_moved_some_time_ago_are_deleted(tmp_path: Path) -> None:
    """A segment goes when everything in it was moved and it is old enough, never before an earlier one."""
    folder = create(tmp_path)
    assert retired(folder, before=3, unchanged_since=100) == [3]
    assert retired(folder, before=2, unchanged_since=100) == [2, 3]
    assert retired(folder, before=3, unchanged_since=2) == [2, 3]
    assert retired(folder, before=1, unchanged_since=100) == [1, 2, 3]
    folder.close()
