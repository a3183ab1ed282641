"""``ponder teams``: who shares limits, by the running gateway's admin API."""

from __future__ import annotations

from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import (
    ask,
    budgets_words,
    every,
    limits_words,
    patterns_words,
    terms_body,
    terms_options,
)


@click.group()
def teams() -> None:
    """Who shares limits."""


@teams.command()
@click.argument("name")
@terms_options
@json_option
def create(*, name: str, as_json: bool, **terms: Any) -> None:
    """Make a team; its limits are shared by all its keys."""
    made = ask("POST", "/teams", {"name": name, **terms_body(terms)})
    if as_json:
        print_json(made)
    else:
        click.echo(f"Team {made['name']} ({made['id']}). Give it a key: ponder keys create NAME --team {made['name']}")


@teams.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List teams, the oldest first."""
    found = list(every("teams"))
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "id": team["id"],
            "name": team["name"],
            "models": patterns_words(team["models"]),
            "limits": limits_words(team),
            "budgets": budgets_words(team),
        }
        for team in found
    ]
    print_rows(("id", "name", "models", "limits", "budgets"), rows)
