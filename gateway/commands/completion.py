"""``ponder completion``: what a shell needs to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_PONDER_COMPLETE"
"""By this a completing shell asks ``ponder`` what comes next; click's rule for the name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete ponder's commands and options.

    \b
    bash: eval "$(ponder completion bash)"    in ~/.bashrc
    zsh:  eval "$(ponder completion zsh)"     in ~/.zshrc, after compinit
    fish: ponder completion fish > ~/.config/fish/completions/ponder.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the argument's choices are click's own
    click.echo(kind(context.find_root().command, {}, "ponder", _VARIABLE).source())
