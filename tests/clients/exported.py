"""Writes exported sets for `loading.py`, by the product's own Python: ``python -m tests.clients.exported FOLDER``.

Of unlike traces, so that a column which is empty or of another type in some rows would be noticed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from calibrator.export.rows import Row, Thoughts, Wanted, grpo_rows, labelled_rows, prm_rows, sft_rows
from calibrator.export.trace import Trace, read_trace
from calibrator.export.writing import SetWriter
from calibrator.prm.labels import Chain
from tests.calibrator.export.kept import asked, draw, kept, said, search

_CHECKS: Final = ({"kind": "math", "answer": "5"}, {"kind": "exact", "answer": "five"})
_COUNT: Final = 40
_ANY: Final = Wanted(None)


def _traces() -> list[Trace]:
    read = (
        read_trace(
            kept(
                asked(f"{number}+1?", check=_CHECKS[number % 2]),
                said(f"It is {number + 1}.", "hm" if number % 3 else ""),
                search=search(draw(0, 0.9, 0.1)),
                draws={"0": "One.\n\nTwo."},
            )
        )
        for number in range(_COUNT)
    )
    return [trace for trace in read if trace is not None]


def _labelled() -> Iterator[Row]:
    for number in range(_COUNT):
        yield from labelled_rows(
            Chain(f"p{number}", 0, f"{number}+1?", ("One.", "Two."), True, values=(1.0, 0.0)), _ANY
        )


def main(folder: Path) -> None:
    """Write every kind of set into a folder of its own."""
    traces = _traces()
    sets: dict[str, Iterable[Row]] = {
        "grpo": chain.from_iterable(grpo_rows(trace, _ANY) for trace in traces),
        "prm": chain.from_iterable(prm_rows(trace, _ANY) for trace in traces),
        "prm-labels": _labelled(),
    }
    for thoughts in Thoughts:
        wanted = Wanted(1.0, thoughts=thoughts)
        sets[f"sft-{thoughts}"] = [row for trace in traces for row in sft_rows(trace, wanted)]
    for name, rows in sets.items():
        with SetWriter(folder / name, test_share=0.3) as writer:
            for row in rows:
                writer.add(row)
            writer.finish({"kind": name})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
