"""``ponder provider-keys``: keys of model providers that are stored, encrypted, by the running gateway's admin API."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import ask, reference
from gateway.errors import InvalidRequest
from gateway.settings import load, places

_COLUMNS = ("upstream", "version", "set_at", "hint", "fingerprint")


@click.group()
def provider_keys() -> None:
    """Keys of model providers, stored encrypted. An UPSTREAM is named as in ponder.yaml."""


@provider_keys.command("set")
@click.argument("upstream", metavar="UPSTREAM")
@json_option
def set_(upstream: str, *, as_json: bool) -> None:
    """Store the key of UPSTREAM, read from standard input or asked for without echo; never an argument."""
    stored = ask("PUT", f"/provider-keys/{reference(upstream)}", {"key": _secret(upstream)})
    if as_json:
        print_json(stored)
    else:
        click.echo(f"The key of {upstream} is stored ({stored['hint']}, version {stored['version']}).")
    configured = load(places(os.environ).config).upstreams.get(upstream)
    if configured is None or not configured.has_stored_key:
        click.echo(f"To use it: set api_key: stored under upstreams.{upstream} in ponder.yaml.", err=True)


@provider_keys.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List stored keys: whose, since when, and what they are known by."""
    found = ask("GET", "/provider-keys")["data"]
    if as_json:
        print_json(found)
    else:
        print_rows(_COLUMNS, [_row(key) for key in found])


@provider_keys.command()
@click.argument("upstream", metavar="UPSTREAM")
@json_option
def remove(upstream: str, *, as_json: bool) -> None:
    """Forget the key of UPSTREAM; its requests are refused until it has one again."""
    removed = ask("DELETE", f"/provider-keys/{reference(upstream)}")
    if as_json:
        print_json(removed)
    else:
        click.echo(f"The key of {upstream} ({removed['hint']}) is removed.")


def _secret(upstream: str) -> str:
    """Not from the command line: that is in the shell's history, and for all users in the list of processes."""
    if sys.stdin.isatty():
        typed: str = click.prompt(f"Key of {upstream}", hide_input=True)
        return typed.strip()
    secret = sys.stdin.readline().strip()
    if not secret:
        raise InvalidRequest("no key on standard input; write it there as one line, or run this in a terminal")
    return secret


def _row(key: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(key[name]) for name in _COLUMNS}
