"""Policies as small as they can be."""

from __future__ import annotations

from pathlib import Path


def policy_text(name: str = "default", *, deadline_s: int = 60) -> str:
    """A policy of one arm; another deadline makes another version."""
    return (
        f"policy: {name}\n"
        "arms: {fast: {model: local}}\n"
        f"defaults: {{arm: fast, reference: fast, max_cost_usd: 0.25, deadline_s: {deadline_s}}}\n"
    )


def write_policy(folder: Path, name: str = "default", text: str | None = None) -> Path:
    """Put a policy into a folder of policies."""
    file = folder / name / "policy.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(policy_text(name) if text is None else text, "utf-8")
    return file
