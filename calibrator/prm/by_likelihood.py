"""``ponder prm train --likelihood-of`` and the report of what it made: the commands' way to :mod:`.likelihood`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrator.prm.configured import configured_model
from calibrator.prm.labels import Chain, read_chains
from calibrator.prm.likelihood import KIND, Reader, Reading, learn, scored
from calibrator.prm.progress import Shown
from calibrator.prm.quality import Scored
from calibrator.prm.scored import DESCRIPTION
from gateway.domain.money import Usd
from gateway.verifier_settings import LikelihoodWeights


@dataclass(frozen=True, slots=True)
class Manner:
    """How chains are read: calls at a time, seconds for each, and what all may cost."""

    concurrency: int
    timeout_s: float
    cap: Usd | None


def train(labels: Path, out: Path, *, model: str, template: str, share: float, manner: Manner) -> None:
    """Have the model read the labelled chains, and write the head that was learnt."""
    readings = asyncio.run(_read(_chains(labels), model, template, manner))
    learn(readings, labels, out, model=model, template=template, share=share)


def is_head(described: Mapping[str, Any]) -> bool:
    """Whether a folder's description is that of a head over likelihoods."""
    return described.get("kind") == KIND


def description(folder: Path) -> dict[str, Any]:
    """How what is in a folder was made."""
    described: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return described


def scores(described: Mapping[str, Any], labels: Path, manner: Manner) -> list[Scored]:
    """The chains of a file, scored by a head that was trained before: its model is asked again."""
    readings = asyncio.run(_read(_chains(labels), described["model"], described["template"], manner))
    return scored(readings, LikelihoodWeights.model_validate(described["weights"]))


def _chains(labels: Path) -> list[Chain]:
    return [chain for chain in read_chains(labels) if chain.steps]


async def _read(chains: Sequence[Chain], name: str, template: str, manner: Manner) -> list[Reading]:
    model, upstream = configured_model(name, manner.cap)
    try:
        reader = Reader(
            model, upstream, template,
            timeout_s=manner.timeout_s, concurrency=manner.concurrency, cap=manner.cap,
        )  # fmt: skip
        with Shown(len(chains), lambda: reader.spent) as shown:
            return await reader.read(chains, shown.advance)
    finally:
        await upstream.close()
