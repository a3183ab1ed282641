"""``ponder keys``: who may call, by the running gateway's admin API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import (
    Duration,
    ask,
    budgets_words,
    every,
    from_now,
    limits_words,
    patterns_words,
    reference,
    terms_body,
    terms_options,
)
from gateway.domain.key import Priority, Role

_COLUMNS = ("id", "name", "team", "role", "models", "limits", "budgets", "expires", "state")


@click.group()
def keys() -> None:
    """Who may call. A KEY is named by its id or its name."""


@keys.command()
@click.argument("name")
@click.option("--team", metavar="TEAM", help="Whose limits it shares; an id or a name.")
@terms_options
@click.option("--role", type=click.Choice([role.value for role in Role]), help="What it may do under /admin.")
@click.option("--priority", type=click.Choice([priority.value for priority in Priority]))
@click.option("--may-override", is_flag=True, help="Let hints loosen limits as well.")
@click.option("--expires-in", type=Duration(), help="Such as 12h or 30d.")
@json_option
def create(
    *,
    name: str,
    team: str | None,
    role: str | None,
    priority: str | None,
    may_override: bool,
    expires_in: timedelta | None,
    as_json: bool,
    **terms: Any,
) -> None:
    """Issue a key. Its secret is printed once, and kept nowhere."""
    said = {
        "name": name,
        "team": team,
        "role": role,
        "priority": priority,
        "may_override": may_override or None,
        "expires_at": None if expires_in is None else from_now(expires_in),
    }
    body = {**{field: value for field, value in said.items() if value is not None}, **terms_body(terms)}
    _show_issued(ask("POST", "/keys", body), as_json=as_json)


@keys.command("list")
@click.option("--team", metavar="TEAM", help="Of this team only; an id or a name.")
@click.option("--revoked", is_flag=True, help="Also those that are revoked.")
@json_option
def list_(*, team: str | None, revoked: bool, as_json: bool) -> None:
    """List keys, the oldest first."""
    query = {"team": ask("GET", f"/teams/{reference(team)}")["id"]} if team else {}
    if revoked:
        query["revoked"] = "true"
    found = list(every("keys", **query))
    if as_json:
        print_json(found)
    else:
        print_rows(_COLUMNS, [_row(key) for key in found])


@keys.command()
@click.argument("key", metavar="KEY")
@json_option
def show(key: str, *, as_json: bool) -> None:
    """Show a key: what it may do, its limits, and what its secrets end with."""
    found = ask("GET", f"/keys/{reference(key)}")
    if as_json:
        print_json(found)
        return
    shown = {**_row(found), "priority": found["priority"], "may override": "yes" if found["may_override"] else "no"}
    shown |= {"arms": patterns_words(found["arms"]), "policies": patterns_words(found["policies"])}
    shown["policy"] = found["policy"] or ""
    shown["secrets"] = ", ".join(_secret_words(secret) for secret in found["secrets"])
    print_rows(("field", "value"), [{"field": name, "value": value} for name, value in shown.items() if value])


@keys.command()
@click.argument("key", metavar="KEY")
@json_option
def revoke(key: str, *, as_json: bool) -> None:
    """Refuse a key from now on, for good, in every process within a second."""
    revoked = ask("POST", f"/keys/{reference(key)}/revoke")
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"Key {revoked['name']} ({revoked['id']}) is revoked.")


@keys.command()
@click.argument("key", metavar="KEY")
@click.option("--grace", type=Duration(), default="0s", show_default=True, help="How long the old secret works on.")
@json_option
def rotate(key: str, grace: timedelta, *, as_json: bool) -> None:
    """Give a key a new secret, which is printed once, and kept nowhere."""
    body = {"grace_s": int(grace.total_seconds())}
    _show_issued(ask("POST", f"/keys/{reference(key)}/rotate", body), as_json=as_json)


def _show_issued(issued: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(issued)
        return
    key = issued["key"]
    click.echo(f"Key {key['name']} ({key['id']}). Its secret is shown this once; keep it now:", err=True)
    click.echo(issued["secret"])


def _row(key: Mapping[str, Any]) -> dict[str, str]:
    return {
        "id": key["id"],
        "name": key["name"],
        "team": key["team_id"] or "",
        "role": key["role"] or "",
        "models": patterns_words(key["models"]),
        "limits": limits_words(key),
        "budgets": budgets_words(key),
        "expires": key["expires_at"] or "",
        "state": "revoked" if key["revoked_at"] else "valid",
    }


def _secret_words(secret: Mapping[str, Any]) -> str:
    until = f" (until {secret['expires_at']})" if secret["expires_at"] else ""
    return f"{secret['hint']}{until}"
