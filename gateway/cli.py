"""The ``ponder`` command. Each of its commands lives in ``gateway/commands`` and is loaded when it is called.

So ``ponder up``, which runs for as long as the gateway does, carries neither Celery nor a database.

Packages that stand above the gateway, which never imports them, add commands by the entry point group
``ponder.commands``: a table like ``COMMANDS`` below. A name of two words, ``GROUP NAME``, adds a command to
one of our groups.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from types import MappingProxyType, ModuleType
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from gateway.errors import ConfigurationError, PonderError

COMMANDS = MappingProxyType(
    {
        "up": (
            "gateway.commands.up",
            "Start everything: gateway, worker, beat, and a local model if none is configured.",
            "docs/troubleshoot.md#it-does-not-start",
        ),
        "serve": ("gateway.commands.serve", "Run the gateway alone.", "docs/troubleshoot.md#it-does-not-start"),
        "worker": (
            "gateway.commands.worker",
            "Run the worker, which does the scheduled work.",
            "docs/troubleshoot.md#it-does-not-start",
        ),
        "beat": (
            "gateway.commands.beat",
            "Run the clock that tells the worker when.",
            "docs/troubleshoot.md#it-does-not-start",
        ),
        "init": (
            "gateway.commands.init",
            "Write a commented ponder.yaml, also from LiteLLM's configuration.",
            "docs/configure-upstreams.md#three-questions",
        ),
        "doctor": (
            "gateway.commands.doctor",
            "Check configuration, keys, database, broker and upstreams.",
            "docs/troubleshoot.md",
        ),
        "top": ("gateway.commands.top", "A running gateway, live in the terminal.", "docs/observe.md#in-a-terminal"),
        "models": ("gateway.commands.models", "The models that callers may ask for.", "docs/configure-upstreams.md"),
        "classifier": (
            "gateway.commands.classifier",
            "What the learned classifier says of prompts, and how well it does.",
            "docs/classify.md",
        ),
        "request": ("gateway.commands.request", "The record of one request.", "docs/read-a-record.md"),
        "policy": (
            "gateway.commands.policy",
            "How asks are answered: check, explain, test and compare policies.",
            "docs/write-a-policy.md",
        ),
        "search": ("gateway.commands.search", "Search strategies on recorded chains.", "docs/search-strategies.md"),
        "keys": (
            "gateway.commands.keys",
            "Who may call: issue, look at, rotate and revoke keys.",
            "docs/keys-and-budgets.md",
        ),
        "teams": (
            "gateway.commands.teams",
            "Who shares limits: make and look at teams.",
            "docs/keys-and-budgets.md#teams-and-keys",
        ),
        "budgets": ("gateway.commands.budgets", "What keys and teams may spend.", "docs/keys-and-budgets.md#budgets"),
        "provider-keys": (
            "gateway.commands.provider_keys",
            "Keys of model providers: store, look at and remove them.",
            "docs/configure-upstreams.md#keys-that-are-stored",
        ),
        "secrets": (
            "gateway.commands.secrets",
            "What stored secrets are encrypted with.",
            "docs/configure-upstreams.md#keys-that-are-stored",
        ),
        "reconcile": (
            "gateway.commands.reconcile",
            "Compare the ledger with a provider's bill, and with the log.",
            "docs/reconcile.md",
        ),
        "db": ("gateway.commands.db", "The database's schema.", "docs/operate.md"),
        "completion": (
            "gateway.commands.completion",
            "Let bash, zsh or fish complete commands.",
            "docs/operate.md#shell-completion",
        ),
    }
)
"""Command → the module that holds it, under the same name with underscores for dashes; its line in the list; and the
page that says what to do where it refuses."""

_PAGE = "docs/operate.md#commands"
"""That of commands which name none."""

_GROUP = "ponder.commands"
_PAGE_AT = 2
_Place: TypeAlias = tuple[str, ...]
"""What stands in such a table: packages may leave the page away."""


@cache
def _added() -> Mapping[str, _Place]:
    """The commands of installed packages; none takes the name of one of ours."""
    return {name: place for name, place in _joining().items() if " " not in name and name not in COMMANDS}


@cache
def _joining() -> Mapping[str, _Place]:
    """All that installed packages add, commands within a group among them."""
    tables = (entry.load() for entry in entry_points(group=_GROUP))
    return {name: place for table in tables for name, place in table.items()}


class _Later(click.Command):
    """A command within a group that an installed package adds; imported when it is called."""

    def __init__(self, name: str, place: _Place) -> None:
        super().__init__(name, help=place[1])
        self._place = place

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the command itself, so that this one only ever stands in the list."""
        assert self.name is not None  # noqa: S101 - it was made with one
        return _load(self._place, self.name).make_context(info_name, args, parent, **extra)


class _Refused(click.ClickException):
    """One of our errors, shown as its message alone."""

    exit_code = 1


class _Misconfigured(click.ClickException):
    """A configuration error; ``ponder up`` does not start a process again that ends with this code."""

    exit_code = 2


class Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *_added()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name) or _added().get(cmd_name)
        if place is None:
            return None
        command = _load(place, cmd_name)
        if isinstance(command, click.Group):
            for name, joining in _joining().items():
                group, _, own = name.partition(" ")
                if group == cmd_name and own and own not in command.commands:
                    command.add_command(_Later(own, joining))
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, without importing them, and our own options."""
        known = {**COMMANDS, **_added()}
        found = [CompletionItem(name, help=known[name][1]) for name in known if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place[1]) for name, place in {**COMMANDS, **_added()}.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigurationError as fault:
            raise _Misconfigured(_told(ctx, fault)) from fault
        except PonderError as fault:
            raise _Refused(_told(ctx, fault)) from fault


def _told(ctx: click.Context, fault: PonderError) -> str:
    """What was refused and what would be accepted, and the page of the command, which says more."""
    place = {**COMMANDS, **_added()}.get(ctx.invoked_subcommand or "", ())
    return f"{fault.message}\nMore: {place[_PAGE_AT] if len(place) > _PAGE_AT else _PAGE}"


def _load(place: _Place, name: str) -> click.Command:
    command = getattr(_import(place[0]), name.replace("-", "_"))
    assert isinstance(command, click.Command)  # noqa: S101 - narrows what import_module cannot type
    return command


def _import(name: str) -> ModuleType:
    """Import a command's module without looking for garbage in it: a fifth of a gateway's start.

    What an import makes stays. Frozen, it is in no later collection's way either.
    """
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _version() -> str:
    try:
        return version("ponder")
    except PackageNotFoundError:
        return "not installed, run from its sources"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="ponder")
def ponder() -> None:
    """Ponder, an LLM gateway that decides how hard to think.

    PONDER_HOST (127.0.0.1), PONDER_PORT (8000), PONDER_HOME (.ponder) and PONDER_CONFIG (ponder.yaml)
    say where it listens and where it keeps things.
    """


def main() -> None:
    """Run the command that the command line names."""
    ponder(prog_name="ponder")


if __name__ == "__main__":
    main()
