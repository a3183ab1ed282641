"""The calibrator's commands, which join ``ponder`` by the entry point group ``ponder.commands``."""

from __future__ import annotations

from types import MappingProxyType

COMMANDS = MappingProxyType(
    {
        "calibrate": (
            "calibrator.commands.calibrate",
            "Budgets that tune themselves: plan, choose with a certificate, report.",
        ),
        "prm": (
            "calibrator.prm.commands",
            "Process reward models: label steps by rollouts, train on them, and report.",
        ),
        "export": (
            "calibrator.commands.export",
            "Verified traces as data to train on: prompts with checks, thought-out answers, labelled steps.",
        ),
        "policy replay": (
            "calibrator.commands.replay",
            "Estimate accuracy, cost and latency of a policy from logged traffic.",
        ),
    }
)
"""Command → the module that holds it, and its line in the list, as in ``gateway/cli.py``. Of two words, the first is
one of the gateway's groups."""
