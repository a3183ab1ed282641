"""A choice as JSON, and the order that a later run may take from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from calibrator.choose import Choice
from calibrator.comparison import Resplits, Standing, standing
from calibrator.pilot import expected_losses
from calibrator.planning import Shortage
from calibrator.stats.results import Floats, Interval, risk_left
from calibrator.tables.table import OutcomeTable
from calibrator.trial import Draw, Question
from gateway.errors import ConfigurationError


def document(
    question: Question,
    drawn: Draw,
    choice: Choice,
    seed: int,
    resplits: Resplits | None,
    *,
    risk: float | None = None,
) -> dict[str, Any]:
    """All of a choice, and what is true of it as far as the table tells.

    ``risk`` is the share of it that the choice was made at, where there were several looks.
    """
    table, target = question.table, question.target
    risk = risk_left(target.confidence) if risk is None else risk
    left_over, full = _truths(question, drawn, choice)
    return {
        "reference": table.arms[question.reference],
        "arms": list(table.arms),
        "loss_at_most": target.loss_at_most,
        "confidence": target.confidence,
        "scope": target.scope.value,
        "seed": seed,
        "items": len(table.items),
        "items_left_out": table.left_out,
        "data_digest": table.digest,
        "labels": drawn.size,
        "pilot_labels": drawn.size - int(drawn.labels.cells.size),
        "certified": choice.is_certified,
        "relative_cost": _rounded(choice.relative_cost),
        "certificate": _certificate(choice) if choice.is_certified else None,
        "risk": _rounded(risk),
        "steps": [{"loss": _rounded(test.estimate), "p_value": _rounded(test.p_value)} for test in choice.tests],
        "shortage": _shortage(choice.shortage, table, question.reference),
        "cells": _cells(drawn, choice),
        "true_loss": {
            "left_over": _standing(left_over),
            "full": _standing(full),
        },
        "resplits": None if resplits is None else _resplits(resplits),
    }


def _truths(question: Question, drawn: Draw, choice: Choice) -> tuple[Standing | None, Standing | None]:
    """How the rule fares on the items left over and on all; of a table that is not whole nobody knows."""
    table = question.table
    if not table.is_whole:
        return None, None
    return (
        standing(table, question.reference, choice.rule, "", ~drawn.labelled),
        standing(table, question.reference, choice.rule, ""),
    )


def _certificate(choice: Choice) -> dict[str, Any]:
    return {
        "method": choice.method,
        "bound": _rounded(choice.loss.upper),
        "loss": _rounded(choice.loss.estimate),
        "labels_read": choice.loss.sample_size,
        "assumptions": list(choice.loss.assumptions),
    }


def _shortage(shortage: Shortage | None, table: OutcomeTable, reference: int) -> dict[str, Any] | None:
    if shortage is None:
        return None
    changed = [
        {"category": cell[0], "difficulty": cell[1], "arm": table.arms[arm]}
        for cell, arm in zip(table.cells, shortage.rule, strict=True)
        if arm != reference
    ]
    return {
        "next_rule": changed,
        "loss": _rounded(shortage.loss),
        "labels_more": shortage.labels_more,
        "labels_in_all": shortage.labels_in_all,
        "cost": None if shortage.cost is None else _rounded(shortage.cost),
    }


def _cells(drawn: Draw, choice: Choice) -> list[dict[str, Any]]:
    losses = expected_losses(drawn.labels if drawn.ranked is None else drawn.ranked).means
    return [
        {
            "category": cell.cell[0],
            "difficulty": cell.cell[1],
            "arm": cell.arm,
            "share": _rounded(cell.share),
            "labels": cell.labels,
            "loss": _rounded(cell.loss),
            "bound": _rounded(cell.bound),
            "relative_cost": _rounded(cell.relative_cost),
            "expected_loss": {name: _rounded(float(loss)) for name, loss in zip(drawn.ground.arms, row, strict=True)},
        }
        for cell, row in zip(choice.cells, losses, strict=True)
    ]


def _standing(found: Standing | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"items": found.items, "loss": _rounded(found.loss), "relative_cost": _rounded(found.relative_cost)}


def _resplits(found: Resplits) -> dict[str, Any]:
    return {
        "runs": found.runs,
        "violations": interval(found.violations),
        "violations_left_over": None if found.left_over is None else interval(found.left_over),
        "relative_cost": interval(found.mean_cost),
        "mean_loss": _rounded(found.mean_loss),
        "worst_loss": _rounded(found.worst_loss),
        "changed": _rounded(found.changed),
        "mean_labels": found.mean_labels,
        "controls": [
            {key: _rounded(value) if isinstance(value, float) else value for key, value in asdict(each).items()}
            for each in found.controls
        ],
    }


def interval(found: Interval) -> dict[str, Any]:
    """An interval as JSON."""
    return {
        "estimate": _rounded(found.estimate),
        "lower": _rounded(found.lower),
        "upper": _rounded(found.upper),
        "confidence": found.confidence,
    }


def _rounded(value: float | None) -> float | None:
    """Without digits that differ from one machine to the next."""
    return None if value is None else round(value, 6) + 0.0


def read_order(file: Path, table: OutcomeTable) -> Floats:
    """The losses that an earlier run expected, cells by arms, from what ``choose --json`` printed of it.

    Cells that it did not have get the mean of those it had. Raises ConfigurationError for a run on the
    same outcomes: an order that comes from what is tested voids the certificate.
    """
    try:
        said = json.loads(file.read_text("utf-8"))
        digest, rows = said["data_digest"], said["cells"]
        known = {(row["category"], row["difficulty"]): _losses(row["expected_loss"], table.arms) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigurationError(
            f"{file.name} is no order: what `ponder calibrate choose --json` printed for the same arms is expected"
        ) from fault
    if digest == table.digest or not known:
        raise ConfigurationError(f"{file.name} comes from these very outcomes; an order is one of an earlier run")
    mean: Floats = np.mean(list(known.values()), axis=0)
    return np.stack([known.get(cell, mean) for cell in table.cells])


def _losses(row: Mapping[str, float], arms: Sequence[str]) -> Floats:
    return np.array([float(row[name]) for name in arms])
