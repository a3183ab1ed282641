"""``ponder up``: everything that a gateway needs on one machine, as supervised processes."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from gateway.adapters import embedded_model
from gateway.commands.running import caller_key, get, reachable_host, url_of
from gateway.errors import ConfigurationError, PonderError
from gateway.settings import Places, Settings, load, places
from gateway.supervisor.console import Console
from gateway.supervisor.program import AnswersHttp, BackOff, PrintsLine, Program
from gateway.supervisor.supervise import Supervisor
from gateway.wiring import with_hosted

_LOOPBACK = "127.0.0.1"
_NAMES_SHOWN = 6
_DRAIN_S = 45.0
"""Longer than the gateway gives the answers under way and the records still to be written."""


@click.command()
def up() -> None:
    """Start gateway, worker and beat, and a local model if no upstream is configured and no provider key is set."""
    where = places(os.environ)
    where = replace(where, port=_free_port(where.host, where.port))
    programs = plan(where, load(where.config), os.environ)
    is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    console = Console(sys.stdout, [program.name for program in programs], is_coloured=is_coloured)

    async def announce() -> None:
        console.block(banner(where, await asyncio.to_thread(_models, where)))

    sys.exit(asyncio.run(Supervisor(programs, console, backoff=BackOff(), on_ready=announce).run()))


def plan(where: Places, settings: Settings, environment: Mapping[str, str]) -> list[Program]:
    """The processes to run, in the order in which they start. Raises ConfigurationError."""
    shared = {**environment, "PONDER_PORT": str(where.port), "PYTHONUNBUFFERED": "1"}
    programs: list[Program] = []
    if where.embedded_url is None and not with_hosted(settings, environment, None).upstreams:
        embedded_model.model_file()
        port = _free_port(_LOOPBACK, 0)
        programs.append(
            Program(
                name="model",
                command=(sys.executable, "-m", embedded_model.__name__, "--port", str(port)),
                readiness=AnswersHttp(_LOOPBACK, port, "/health"),
                is_essential=True,
                environment=shared,
            )
        )
        shared = {**shared, "PONDER_EMBEDDED_URL": f"http://{_LOOPBACK}:{port}/v1"}
    return [
        *programs,
        Program(
            name="gateway",
            command=_ponder("serve"),
            readiness=AnswersHttp(reachable_host(where.host), where.port, "/health/ready"),
            is_essential=True,
            environment=shared,
            grace_s=settings.shutdown.notice_s + _DRAIN_S,
        ),
        # Celery's own words, which come once it takes or sends ticks.
        Program("worker", _ponder("worker"), PrintsLine(" ready."), is_essential=False, environment=shared),
        Program("beat", _ponder("beat"), PrintsLine("beat: Starting"), is_essential=False, environment=shared),
    ]


def _ponder(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gateway.cli", command)


def _free_port(host: str, port: int) -> int:
    """``port`` if it can be listened on, or any free one for port 0. Raises ConfigurationError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            return int(listener.getsockname()[1])
    except OSError as fault:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({fault.strerror}); set PONDER_HOST or PONDER_PORT to another"
        ) from fault


def _models(where: Places) -> tuple[str, ...]:
    try:
        listing = get(where, "/v1/models", caller_key(where, {}))
    except PonderError:
        return ()
    return tuple(str(row["id"]) for row in listing["data"])


def banner(where: Places, models: tuple[str, ...]) -> str:
    """What to know once everything runs: where, with which key, which models, and what to try."""
    url, key = url_of(where), shlex.quote(_from_here(where.default_key_file))
    shown = ", ".join(models[:_NAMES_SHOWN]) + (
        f" and {len(models) - _NAMES_SHOWN} more" if models[_NAMES_SHOWN:] else ""
    )
    lines = [
        "",
        f"  Ponder is up   {url}",
        f"  API            {url}/openapi.json",
        f"  Key            {_from_here(where.default_key_file)}",
        f"  Admin key      {_from_here(where.admin_key_file)}",
        f"  Models         {shown or 'none; run `ponder doctor`'}",
        "",
    ]
    if models:
        model = embedded_model.MODEL if embedded_model.MODEL in models else models[0]
        lines += [
            "  Try",
            f"    curl {url}/v1/chat/completions \\",
            f'      -H "Authorization: Bearer $(cat {key})" -H "Content-Type: application/json" \\',
            f'      -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}\'',
            "",
        ]
    return "\n".join([*lines, ""])


def _from_here(path: Path) -> str:
    """The path as it is shortest to type in the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
