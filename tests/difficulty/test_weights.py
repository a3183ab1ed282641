"""Tests of gateway/difficulty/weights.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.difficulty.classifier import SHIPPED
from gateway.difficulty.features import FEATURES
from gateway.difficulty.weights import read_weights
from gateway.errors import ConfigurationError


def test_the_shipped_weights_are_small_and_tell_their_origin() -> None:
    """They stay under two megabytes and name seed, split and the digest of every file they were trained on."""
    made = read_weights(SHIPPED).made
    assert SHIPPED.stat().st_size < 2_000_000
    assert made["seed"] == 1
    assert made["held_out_share"] == 4
    assert "prompts/reasoning_outcomes.csv.gz" in made["sha256"]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Something else, and nothing at all, are refused by name."""
    (tmp_path / "text.npz").write_text("no weights")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(ConfigurationError, match=f"{name} does not hold"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("change", [{"format": 0}, {"features": [*FEATURES, "another"]}])
def test_weights_of_another_version_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """Weights for other features, or of another format, are refused and not misread."""
    with np.load(SHIPPED) as stored:
        arrays = dict(stored)
    head = json.loads(arrays["head"].tobytes()) | change
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ConfigurationError, match="another version"):
        read_weights(tmp_path / "other.npz")
