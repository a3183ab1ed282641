"""A converted configuration as the text of our files."""

from __future__ import annotations

from typing import Any

import yaml

from gateway.commands.init_template import template
from gateway.commands.litellm_config import Conversion


def configuration_text(made: Conversion, source: str) -> str:
    """The ponder.yaml of a conversion: what it holds written out, the rest as comments."""
    sections = {
        "upstreams": f"# Servers that Ponder calls; from {source}.\n{_block('upstreams', made.upstreams)}",
        "models": f"# Names that callers may ask for; from {source}.\n{_block('models', made.models)}",
    }
    if "policies_dir" in made.others:
        sections["policy"] = (
            "# The policy that decides for `model: auto` where neither the key nor its team names another.\n"
            "# Fallbacks are policies, in the folder beside this file: ask for auto:NAME.\n"
            f"#policy: default\npolicies_dir: {made.others['policies_dir']}"
        )
    for name in ("limits", "redis"):
        if name in made.others:
            sections[name] = _block(name, made.others[name])
    return template({name: text for name, text in sections.items() if _holds(made, name)})


def policy_texts(made: Conversion) -> dict[str, str]:
    """The policies of a conversion, by their names."""
    note = (
        "# From LiteLLM's fallbacks: the first arm answers, the others where it fails before its first byte.\n"
        "# max_cost_usd is the most that one request may cost; set it to what you can bear.\n"
    )
    return {name: note + yaml.safe_dump(policy, sort_keys=False) for name, policy in made.policies.items()}


def _holds(made: Conversion, section: str) -> bool:
    return bool(getattr(made, section)) if section in {"upstreams", "models"} else True


def _block(name: str, value: Any) -> str:
    return yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True).rstrip("\n")
