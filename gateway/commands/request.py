"""``ponder request``: the record of one request, as the running gateway tells it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.running import caller_key, get
from gateway.commands.search_tree import print_tree
from gateway.errors import NotFound
from gateway.settings import places

_CALL = ("attempt", "upstream", "model", "result", "status", "first_byte_s", "total_s", "cost_usd", "error")
_OUTCOME = ("source", "score", "at", "by", "weight", "probability", "comment")


@click.group()
def request() -> None:
    """The record of one request."""


@request.command()
@click.argument("request_id", metavar="ID")
@click.option("--tree", "as_tree", is_flag=True, help="Draw the tree of the search that the answer came from.")
@json_option
def show(request_id: str, as_tree: bool, as_json: bool) -> None:
    """Show what was asked for, decided, sent and spent; ID is the answer's x-ponder-request-id."""
    where = places(os.environ)
    record = get(where, f"/v1/requests/{quote(request_id, safe='')}", caller_key(where, os.environ))
    if as_json:
        print_json(record)
        return
    search = record.pop("search", None)
    if as_tree:
        if search is None:
            raise NotFound("this request was answered by a single call; only one whose arm searches has a tree")
        print_tree(search)
        return
    calls, outcomes = record.pop("calls", None) or [], record.pop("outcomes", None) or []
    print_rows(("field", "value"), [{"field": name, "value": text} for name, text in _flat(record)])
    if search is not None:
        click.echo(f"\n{search['strategy']} of {len(search['draws'])} draws: {search['reason']}; --tree draws them")
    if calls:
        click.echo()
        _print_table(_CALL, calls)
    if outcomes:
        click.echo()
        _print_table(_OUTCOME, outcomes)


def _print_table(columns: Sequence[str], things: Sequence[Mapping[str, Any]]) -> None:
    print_rows(columns, [{name: _text(thing.get(name)) for name in columns} for thing in things])


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows with dotted names; what is empty is left out."""
    rows: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            rows.extend(_flat(value, f"{prefix}{name}."))
        elif value not in (None, [], ""):
            rows.append((prefix + name, _text(value)))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
