"""``ponder models``: what the configuration and the environment offer to callers."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.domain.model import Model
from gateway.settings import load, places
from gateway.wiring import catalog

NOT_RUNNING_YET = "http://embedded.invalid/v1"
"""Stands for the embedded model's address, which ``ponder up`` chooses."""

_MTOK = 1_000_000


@click.group()
def models() -> None:
    """The models that callers may ask for."""


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List them as configured, with prices in dollars per million tokens."""
    where = places(os.environ)
    offered, _ = catalog(load(where.config), os.environ, embedded_url=where.embedded_url or NOT_RUNNING_YET)
    chosen = [offered.models[name] for name in sorted(offered.models)]
    if as_json:
        print_json([_as_json(model) for model in chosen])
    else:
        columns = ("model", "upstream", "its name there", "$/Mtok in", "$/Mtok out", "context", "max output")
        print_rows(columns, [dict(zip(columns, _as_cells(model), strict=True)) for model in chosen])


def _as_json(model: Model) -> dict[str, Any]:
    rates = None if model.price is None else model.price.standard.at(0)
    return {
        "model": model.name,
        "upstream": model.upstream,
        "upstream_name": model.upstream_name,
        "input_usd_per_mtok": None if rates is None else _per_mtok(rates.input),
        "output_usd_per_mtok": None if rates is None else _per_mtok(rates.output),
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
    }


def _as_cells(model: Model) -> tuple[str, ...]:
    name, upstream, upstream_name, spent_in, spent_out, *limits = _as_json(model).values()
    prices = ("no price", "") if spent_in is None else (spent_in, spent_out)
    return (name, upstream, upstream_name, *prices, *("" if limit is None else str(limit) for limit in limits))


def _per_mtok(rate: Decimal) -> str:
    return format((rate * _MTOK).normalize(), "f")
