"""``ponder budgets``: what keys and teams may spend, by the running gateway's admin API."""

from __future__ import annotations

from typing import Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.tenancy import ask, budgets_words, every, reference
from gateway.domain.limits import Period


@click.group()
def budgets() -> None:
    """What keys and teams may spend."""


@budgets.command("set")
@click.option("--key", metavar="KEY", help="Whose: a key, by id or name.")
@click.option("--team", metavar="TEAM", help="Whose: a team, by id or name.")
@click.argument("period", type=click.Choice([period.value for period in Period]))
@click.argument("amount_usd", metavar="DOLLARS")
@click.option("--soft-share", metavar="SHARE", help="From this share on answers carry a warning, such as 0.8.")
@json_option
def set_(
    *, key: str | None, team: str | None, period: str, amount_usd: str, soft_share: str | None, as_json: bool
) -> None:
    """Let a key or a team spend DOLLARS per PERIOD; a budget of this period that it has is replaced."""
    if (key is None) == (team is None):
        raise click.UsageError("name either a key, with --key, or a team, with --team")
    path = f"/keys/{reference(key)}" if key is not None else f"/teams/{reference(team or '')}"
    body: dict[str, Any] = {"amount_usd": amount_usd}
    if soft_share is not None:
        body["soft_share"] = soft_share
    changed = ask("PUT", f"{path}/budgets/{period}", body)
    if as_json:
        print_json(changed)
    else:
        click.echo(f"{'Key' if key is not None else 'Team'} {changed['name']}: {budgets_words(changed)}")


@budgets.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the budgets of all teams and keys that have any."""
    found = [
        {"kind": kind, "id": holder["id"], "name": holder["name"], **budget}
        for kind, listed in (("team", "teams"), ("key", "keys"))
        for holder in every(listed)
        for budget in holder["budgets"]
    ]
    if as_json:
        print_json(found)
        return
    columns = ("kind", "id", "name", "period", "amount_usd", "soft_share")
    print_rows(columns, [{name: str(each[name] or "") for name in columns} for each in found])
