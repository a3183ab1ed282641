"""Parts of ``ponder policy`` that ask the running gateway: which versions are in force, and going back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import ask, reference

_SHOWN = 12
"""Digits of a digest, in a table; --json has them all."""


@click.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the policies in force, since when, and by whom."""
    found = ask("GET", "/policies")["data"]
    if as_json:
        print_json(found)
        return
    columns = ("name", "digest", "mode", "since", "by", "state")
    print_rows(columns, [{**_row(policy), "name": policy["name"], "mode": policy["mode"]} for policy in found])


@click.command()
@click.argument("name")
@json_option
def versions(name: str, *, as_json: bool) -> None:
    """List when which version of policy NAME was in force, the present one first."""
    found = ask("GET", f"/policies/{reference(name)}/versions")["data"]
    if as_json:
        print_json(found)
    else:
        print_rows(("digest", "since", "by", "state"), [_row(activation) for activation in found])


@click.command()
@click.argument("name")
@click.option("--to", "digest", metavar="DIGEST", help="Which version; by default the one before the present one.")
@json_option
def rollback(name: str, digest: str | None, *, as_json: bool) -> None:
    """Put an earlier version of policy NAME in force, in every process within two seconds.

    It stays until `ponder policy release NAME`, or until the file says something else.
    """
    body = {} if digest is None else {"to": digest}
    _show(ask("POST", f"/policies/{reference(name)}/rollback", body), name, as_json=as_json)


@click.command()
@click.argument("name")
@json_option
def release(name: str, *, as_json: bool) -> None:
    """End a rollback: the version of the file of policy NAME is in force again."""
    _show(ask("POST", f"/policies/{reference(name)}/release"), name, as_json=as_json)


def _show(activation: Mapping[str, Any], name: str, *, as_json: bool) -> None:
    if as_json:
        print_json(activation)
        return
    click.echo(f"Policy {name} is at {activation['digest'][:_SHOWN]}, {_state(activation)}.")


def _row(activation: Mapping[str, Any]) -> dict[str, str]:
    return {
        "digest": activation["digest"][:_SHOWN],
        "since": activation["since"] or "",
        "by": activation["by"] or "",
        "state": _state(activation),
    }


def _state(activation: Mapping[str, Any]) -> str:
    of_file = activation["in_place_of"]
    return "the version of its file" if of_file is None else f"rolled back from {of_file[:_SHOWN]}"
