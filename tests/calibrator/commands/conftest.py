"""Fixtures for the commands of the calibrator: those of the gateway's, and a policy with outcomes of its arms."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.store.schema import upgrade
from tests.calibrator.made import as_csv
from tests.commands.conftest import Ponder, config, environment, run

__all__ = ["Ponder", "config", "environment", "run"]

_CONFIG = """
upstreams:
  hosted: {kind: openai, base_url: "http://127.0.0.1:9/v1"}
models:
  haiku: {upstream: hosted, price: {input_per_mtok: 1, output_per_mtok: 5}, max_output_tokens: 8000}
  sonnet: {upstream: hosted, price: {input_per_mtok: 3, output_per_mtok: 15}, max_output_tokens: 64000}
"""
_POLICY = """\
policy: work
arms:
  fast: {model: haiku, effort: none}
  think: {model: sonnet, effort: medium}
  think-hard: {model: sonnet, effort: high}
defaults: {arm: think, reference: think-hard, max_cost_usd: 0.25, deadline_s: 60}
rules:
  - name: checkable
    when: {category: [math, code]}
    calibrated: {among: [fast, think, think-hard], loss_at_most: 0.04, confidence: 0.9, until_certified: think-hard}
"""


@pytest.fixture
def outcomes(tmp_path: Path) -> str:
    """A file of outcomes of three arms."""
    file = tmp_path / "outcomes.csv"
    file.write_text(as_csv())
    return str(file)


@pytest.fixture
def policy(config: Path, environment: Mapping[str, str | None]) -> Path:
    """A policy with a calibrated rule, its models, and a database that is ready."""
    config.write_text(_CONFIG)
    own = config.parent / "policies" / "work"
    own.mkdir(parents=True)
    (own / "policy.yaml").write_text(_POLICY)
    home = Path(str(environment["PONDER_HOME"]))
    home.mkdir(parents=True)
    asyncio.run(upgrade(f"sqlite:///{home}/ponder.db"))
    return own / "policy.yaml"
