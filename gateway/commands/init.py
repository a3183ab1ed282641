"""``ponder init``: a ponder.yaml to start from, by three questions, or from LiteLLM's configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import click

from gateway import yaml_text
from gateway.commands.init_questions import Answers, ask, configuration, missing_variables, read_answers
from gateway.commands.init_template import TEMPLATE
from gateway.commands.litellm_config import Conversion, convert
from gateway.commands.litellm_text import configuration_text, policy_texts
from gateway.commands.output import print_rows
from gateway.errors import ConfigurationError
from gateway.settings import places, read


@click.command()
@click.option("--force", is_flag=True, help="Overwrite files that are already there.")
@click.option("--answers", type=click.File(), metavar="FILE", help="Take the answers from a YAML file; - reads input.")
@click.option("--no-questions", is_flag=True, help="Write the commented template, also in a terminal.")
@click.option(
    "--from-litellm",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Convert the config.yaml of a LiteLLM proxy, and say what of it did not map.",
)
def init(*, force: bool, answers: IO[str] | None, no_questions: bool, from_litellm: Path | None) -> None:
    """Write a commented ponder.yaml (or the file that PONDER_CONFIG names).

    In a terminal three questions are put; their answers stand in the file, and the rest as comments.
    Elsewhere, and with --no-questions, it is the template that changes nothing.
    """
    path = places(os.environ).config
    if sum((answers is not None, no_questions, from_litellm is not None)) > 1:
        raise click.UsageError("take one of --answers, --no-questions and --from-litellm")
    if from_litellm is not None:
        _convert(from_litellm, path, force=force)
        return
    given: Answers | None = None
    if answers is not None:
        given = read_answers(yaml_text.parse("answers", answers.read())[0])
    elif not no_questions and sys.stdin.isatty() and sys.stdout.isatty():
        _check_free([path], force=force)
        given = ask(lambda question, default: str(click.prompt(question, default=default, show_default=bool(default))))
    _write({path: TEMPLATE if given is None else configuration(given)}, force=force)
    click.echo(f"Wrote {path}. Edit it, then: ponder doctor")
    if given is not None and (missing := missing_variables(given, os.environ)):
        click.echo(f"Set {' and '.join(missing)} where the gateway runs.")


def _convert(source: Path, path: Path, *, force: bool) -> None:
    try:
        text = source.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{source.name} cannot be read as text") from fault
    made = convert(yaml_text.parse(source.name, text)[0], os.environ)
    written = configuration_text(made, source.name)
    read(path.name, written)  # what is written is accepted
    files = {path: written}
    for name, policy in policy_texts(made).items():
        files[path.parent / "policies" / name / "policy.yaml"] = policy
    _write(files, force=force)
    _tell(made, files)


def _tell(made: Conversion, files: Mapping[Path, str]) -> None:
    click.echo(f"Wrote {', '.join(map(str, files))}: {len(made.models)} models at {len(made.upstreams)} upstreams.")
    for name, policy in made.policies.items():
        chain = ", then ".join(policy["arms"])
        click.echo(f"Ask for auto:{name} to have {chain}; a model asked for by its own name has no fallback.")
    if missing := sorted(name for name in made.variables if not os.environ.get(name)):
        click.echo(f"Set where the gateway runs: {', '.join(missing)}")
    if made.remarks:
        click.echo("\nNot, or not quite, taken over:")
        print_rows(("where", "why"), [{"where": each.where, "why": each.why} for each in made.remarks])
    if made.commands:
        click.echo("\nOnce the gateway runs:")
        for command in made.commands:
            click.echo(f"  {command}")
    click.echo("\nThen: ponder doctor")


def _check_free(paths: list[Path], *, force: bool) -> None:
    taken = [] if force else [path for path in paths if path.exists()]
    if taken:
        raise ConfigurationError(f"{taken[0]} is already there; `ponder init --force` overwrites it")


def _write(files: Mapping[Path, str], *, force: bool) -> None:
    """Write all of them, or none where one is there already."""
    _check_free(list(files), force=force)
    for path, text in files.items():
        try:
            if path.parent.parent.name == "policies":
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except OSError as fault:
            raise ConfigurationError(f"{path} cannot be written: {fault.strerror}") from fault
