"""The calibrator's commands, which join ``ponder`` by the entry point group ``ponder.commands``."""

from __future__ import annotations

from types import MappingProxyType

COMMANDS = MappingProxyType(
    {
        "calibrate": (
            "calibrator.commands.calibrate",
            "Budgets that tune themselves: plan, choose with a certificate, report.",
            "docs/calibrate.md",
        ),
        "prm": (
            "calibrator.prm.commands",
            "Process reward models: label steps by rollouts, train on them, and report.",
            "docs/train-a-verifier.md",
        ),
        "verifiers": (
            "calibrator.commands.verifiers",
            "How far verifiers can be trusted: examine them, see the caps that follow, lift one.",
            "docs/verifiers.md#health",
        ),
        "export": (
            "calibrator.commands.export",
            "Verified traces as data to train on: prompts with checks, thought-out answers, labelled steps.",
            "docs/export.md",
        ),
        "policy replay": (
            "calibrator.commands.replay",
            "Estimate accuracy, cost and latency of a policy from logged traffic.",
            "docs/estimate-a-policy.md",
        ),
    }
)
"""Command → the module that holds it, its line in the list and its page, as in ``gateway/cli.py``. Of two words, the
first is one of the gateway's groups."""
