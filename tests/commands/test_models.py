"""Tests of gateway/commands/models.py."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Ponder

_CONFIG = """
upstreams:
  gpu: {kind: openai, base_url: "http://127.0.0.1:9/v1"}
models:
  qwen: {upstream: gpu, name: Qwen/Qwen3-8B, price: {input_per_mtok: 0.05, output_per_mtok: 12}, context_tokens: 32768}
  secret: {upstream: gpu}
"""


def test_without_a_configuration_the_local_model_is_offered(run: Ponder) -> None:
    """With no upstream and no key, the list holds the embedded model, free of charge."""
    result = run("models", "list", "--json")
    assert [(row["model"], row["output_usd_per_mtok"]) for row in json.loads(result.output)] == [("local", "0")]


def test_configured_models_are_listed_with_their_prices(run: Ponder, config: Path) -> None:
    """Each configured model is listed with upstream, prices per million tokens and limits."""
    config.write_text(_CONFIG)
    rows = json.loads(run("models", "list", "--json").output)
    assert rows == [
        {
            "model": "qwen",
            "upstream": "gpu",
            "upstream_name": "Qwen/Qwen3-8B",
            "input_usd_per_mtok": "0.05",
            "output_usd_per_mtok": "12",
            "context_tokens": 32768,
            "max_output_tokens": None,
        },
        {
            "model": "secret",
            "upstream": "gpu",
            "upstream_name": "secret",
            "input_usd_per_mtok": None,
            "output_usd_per_mtok": None,
            "context_tokens": None,
            "max_output_tokens": None,
        },
    ]


def test_a_model_without_a_price_says_so(run: Ponder, config: Path) -> None:
    """The table says 'no price' where there is none, and folds nothing when piped."""
    config.write_text(_CONFIG)
    lines = run("models", "list").output.splitlines()
    assert len(lines) == 3
    assert "no price" in lines[2]


def test_a_wrong_configuration_is_shown_without_a_traceback(run: Ponder, config: Path) -> None:
    """An unknown key ends with its line and remedy, and exit code 2."""
    config.write_text("modells: {}\n")
    result = run("models", "list")
    assert result.exit_code == 2
    assert "did you mean 'models'?" in result.output
    assert "Traceback" not in result.output
