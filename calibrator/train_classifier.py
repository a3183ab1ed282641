"""``python -m calibrator.train_classifier``: train the classifier that ships with Ponder, or one of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from calibrator.classifier_training import fit
from calibrator.training_report import render
from gateway.difficulty.classifier import SHIPPED, Learned
from gateway.difficulty.corpus import HELD_OUT_SHARE, read_corpus, read_labelled
from gateway.difficulty.embedding import StaticEmbedding
from gateway.difficulty.report import report
from gateway.difficulty.weights import ARRAYS, Weights, head_of

LABELLED = Path(__file__).parent / "labelled"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=SHIPPED, show_default="those that ship")
@click.option("--seed", type=int, default=1, show_default=True)
def train(data: Path, out: Path, seed: int) -> None:
    """Fit on the part of DATA that is not held out; write the weights and, beside them, training_report.md."""
    corpus = read_corpus(data)
    items = [item for item in corpus.items if not item.is_held_out]
    for path in sorted(LABELLED.glob("*.jsonl")):
        items += read_labelled(path, is_held_out=False)
    made = {"seed": seed, "held_out_share": HELD_OUT_SHARE, "sha256": dict(corpus.digests)}
    with threadpool_limits(1):  # sums in another order would give other bytes
        weights = fit(items, StaticEmbedding.load(), seed=seed, made=made)
    write(weights, out)
    measured = report(Learned.load(out), data)
    out.with_name("training_report.md").write_text(render(measured, made, items), "utf-8")


def write(weights: Weights, path: Path) -> None:
    """Write weights as half-precision arrays; the same weights give the same bytes."""
    arrays: dict[str, Any] = {name: _stored(getattr(weights, name)) for name in ARRAYS}
    with path.open("wb") as file:
        np.savez_compressed(file, head=np.frombuffer(head_of(weights), dtype=np.uint8), **arrays)


def _stored(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float16) if array.dtype.kind == "f" else array


if __name__ == "__main__":
    train()
