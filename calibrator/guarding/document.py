"""Evidence as JSON, to be stored between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from calibrator.guarding.contrast import Contrast, Group, Sums
from calibrator.guarding.evidence import Baseline, Evidence, Terms, begin_evidence
from calibrator.stats.sequences import EProcess

FORM: Final = 1
"""Of the document. Evidence in another form is not taken up: it is gathered anew."""


def written(evidence: Evidence) -> dict[str, Any]:
    """The evidence as a document."""
    baseline = evidence.baseline
    return {
        "form": FORM,
        "terms": asdict(evidence.terms),
        "quality": _contrast(evidence.quality),
        "errors": _contrast(evidence.errors),
        "slowness": _contrast(evidence.slowness),
        "cost": _contrast(evidence.cost),
        "labelled": [list(pair) for pair in sorted(evidence.labelled.items())],
        "rarest": evidence.rarest,
        "baseline": {
            "times": [list(pair) for pair in sorted(baseline.times.items())],
            "costs": _group(baseline.costs),
            "largest_cost": baseline.largest_cost,
        },
    }


def taken_up(document: Mapping[str, Any] | None, terms: Terms) -> Evidence:
    """The evidence of a document; begun anew where there is none, or where it was gathered on other limits."""
    fresh = begin_evidence(terms)
    if document is None or document["form"] != FORM or _limits(Terms(**document["terms"])) != _limits(terms):
        return fresh
    baseline = document["baseline"]
    return replace(
        fresh,
        quality=_filled(fresh.quality, document["quality"]),
        errors=None if fresh.errors is None else _filled(fresh.errors, document["errors"]),
        slowness=None if fresh.slowness is None else _filled(fresh.slowness, document["slowness"]),
        cost=None if fresh.cost is None else _filled(fresh.cost, document["cost"]),
        labelled=dict(document["labelled"]),
        rarest=document["rarest"],
        baseline=Baseline(dict(baseline["times"]), Group(*baseline["costs"]), baseline["largest_cost"]),
    )


def read_terms(document: Mapping[str, Any]) -> Terms:
    """The terms that a document's evidence was gathered on."""
    return Terms(**document["terms"])


def _limits(terms: Terms) -> tuple[float | None, ...]:
    """What the claims are about. Risk, time and numbers may be changed under way: they only say when to act."""
    return terms.margin, terms.cost_at_most, terms.latency_at_most, terms.errors_at_most


def _contrast(found: Contrast | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "processes": [_process(each) for each in found.processes],
        "centres": {cell: _group(group) for cell, group in sorted(found.centres.items())},
        "new": _group(found.new),
        "old": _group(found.old),
        "sums": asdict(found.sums),
    }


def _filled(fresh: Contrast, document: Mapping[str, Any]) -> Contrast:
    pairs = zip(fresh.processes, document["processes"], strict=True)
    return replace(
        fresh,
        processes=tuple(_resumed(process, said) for process, said in pairs),
        centres={cell: Group(*said) for cell, said in document["centres"].items()},
        new=Group(*document["new"]),
        old=Group(*document["old"]),
        sums=Sums(**document["sums"]),
    )


def _process(process: EProcess) -> dict[str, Any]:
    return {
        "sample_size": process.sample_size,
        "total": process.total,
        "log_capitals": list(process.log_capitals),
        "log_evidence": process.log_evidence,
    }


def _resumed(fresh: EProcess, said: Mapping[str, Any]) -> EProcess:
    return replace(fresh, **{**said, "log_capitals": tuple(said["log_capitals"])})


def _group(group: Group) -> list[float]:
    return [group.count, group.total]
