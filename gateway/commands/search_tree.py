"""The tree of a search, drawn for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

_PIPE_WIDTH = 2_000


def print_tree(search: Mapping[str, Any]) -> None:
    """Print every draw below the one that it continues; what the answer is made of is marked and bold."""
    draws: Sequence[Mapping[str, Any]] = search["draws"]
    root = Tree(_headline(search, draws))
    branches: dict[int | None, Tree] = {None: root}
    for draw in draws:  # a draw continues an earlier one
        branches[draw["draw"]] = branches[draw["parent"]].add(_line(draw))
    # Highlighting is off: names are shown as they are. A pipe has no width to fold at.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(highlight=False, markup=False, width=width).print(root)


def _headline(search: Mapping[str, Any], draws: Sequence[Mapping[str, Any]]) -> Text:
    tokens = sum(draw["tokens"] for draw in draws)
    parts = [search["strategy"], f"{len(draws)} draws", f"{tokens} tokens"]
    if search["verifier"] is not None:
        parts.append(f"verified by {search['verifier']}")
    if search["confidence"] is not None:
        parts.append(f"confidence {search['confidence']:.2f}")
    return Text(" · ".join([*parts, search["reason"]]), style="bold")


def _line(draw: Mapping[str, Any]) -> Text:
    is_chosen = draw["is_chosen"]
    parts = [f"{'★' if is_chosen else '·'} {draw['draw']}", draw["fate"], f"{draw['tokens']} tokens"]
    if draw["scores"]:
        parts.append("scores " + " ".join(f"{score:.2f}" for score in draw["scores"]))
    if draw["agrees_with"] is not None and draw["agrees_with"] != draw["draw"]:
        parts.append(f"agrees with {draw['agrees_with']}")
    if draw["kept_steps"] is not None:
        parts.append(f"after {draw['kept_steps']} steps of it")
    if draw["role"] != "main":
        parts.append(draw["role"])
    parts += [draw["model"], f"${draw['cost_usd']}"]
    return Text("  ".join(parts), style="bold" if is_chosen else "")
