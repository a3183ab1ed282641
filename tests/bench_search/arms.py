"""The arms that are measured, as a policy writes them, and the gateway's configuration around them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

Arm = Mapping[str, Any]

DEPTH: Final = 16
"""More steps than any problem has, so that a chain may go wrong and still come to its end."""
OUTPUT_TOKENS: Final = 256
POLICY: Final = "bench"
ADAPTIVE: Final = "adaptive"
_BY_STEPS: Final = {"depth": DEPTH, "step": "newline", "verifier": "prm"}
_SMALL: Final = {"model": "small"}
_LARGE: Final = {"model": "large"}
VOTES_AT: Final = 0.3
"""Of 0.3, 0.5, 0.6 and 0.8 the temperature at which the majority of 8 was right most often on the validation split."""
_VOTE: Final = {"strategy": "vote", "samples": 8, "temperature": VOTES_AT}


def best_of(samples: int, **more: Any) -> Arm:
    """Best-of-N by the reward model, with more parameters."""
    return {**_SMALL, "strategy": "best_of_n", "samples": samples, "verifier": "prm", **more}


def repair(rounds: int, **more: Any) -> Arm:
    """Repair by the scores of single steps, with more parameters."""
    return {**_SMALL, "strategy": "repair", "rounds": rounds, "step": "newline", "verifier": "prm", **more}


def uniform(samples: int) -> Arm:
    """Plain best-of-N as the literature means it: all draws, whatever their scores."""
    return best_of(samples, accept=1, schedule="concurrent")


TABLE: Final[Mapping[str, Arm]] = {
    "greedy": _SMALL,
    "majority of 8": {**_SMALL, **_VOTE, "stop": "never"},
    "vote 8": {**_SMALL, **_VOTE},
    "vote 8, gives up": {**_SMALL, **_VOTE, "futile_after": 4},
    "best of 4": best_of(4),
    "best of 8": best_of(8),
    "best of 16": best_of(16),
    "best of 4, weighted": best_of(4, weighted=True),
    "best of 8, weighted": best_of(8, weighted=True),
    "best of 16, weighted": best_of(16, weighted=True),
    "beam 4 × 4": {**_SMALL, "strategy": "beam", "beams": 4, "expand": 4, **_BY_STEPS},
    "DVTS 16 / 4": {**_SMALL, "strategy": "dvts", "beams": 16, "groups": 4, **_BY_STEPS},
    "MCTS 50": {**_SMALL, "strategy": "mcts", "simulations": 50, **_BY_STEPS},
    "repair": repair(2),
    "repair 8": repair(8),
    "large": _LARGE,
    "large, majority of 8": {**_LARGE, **_VOTE, "stop": "never"},
    "large, vote 8": {**_LARGE, **_VOTE},
    "draft": {"model": "large", "strategy": "draft", "draft": "small", **_BY_STEPS},
    "cascade": {"cascade": ["checked", "best of 4", "large"], "escalate_below": 0.8, "verifier": "prm"},
}
"""The rows of the table. ``majority of 8`` and ``large`` are what others are compared with."""
UNIFORM: Final[Mapping[int, str]] = {count: f"uniform {count}" for count in (1, 2, 4, 8, 16)}
"""Best-of-N that stops for nothing. The first draws of the largest are those of every smaller one."""
MOST_REPAIRS: Final = 12
REPAIRS: Final = f"repair, {MOST_REPAIRS} rounds"
"""The first rounds of this are those of every shorter one."""
_HELPERS: Final[Mapping[str, Arm]] = {
    "checked": {**_SMALL, "strategy": "greedy", "verifier": "prm"},
    **{name: uniform(count) for count, name in UNIFORM.items()},
    REPAIRS: repair(MOST_REPAIRS),
}
ARMS: Final[Mapping[str, Arm]] = {**TABLE, **_HELPERS}
_NEED_LARGE: Final = ("large", "large, majority of 8", "large, vote 8", "draft", "cascade")


def names(arms: Mapping[str, Arm], *, has_large: bool) -> list[str]:
    """The arms that can be measured with the weights there are."""
    return [name for name in arms if has_large or name not in _NEED_LARGE]


def slug(arm: str) -> str:
    """An arm's name as a policy may write it."""
    return "".join(letter if letter.isalnum() else "-" for letter in arm.replace("×", "x")).lower()


def setting(arm: str, weights: Mapping[str, str]) -> str:
    """A digest of all that an arm's answers depend on: its parameters, those of its legs, the weights of its models."""
    parts = {name: ARMS[name] for name in (arm, *ARMS[arm].get("cascade", ()))}
    asked = {part.get("model", "small") for part in parts.values()} | {"small"}
    if any("verifier" in part for part in parts.values()):
        asked.add("prm")
    return digest([parts, {model: digested for model, digested in weights.items() if model in asked}])


def digest(told: Any) -> str:
    """A digest of all that an answer depends on beside its problem."""
    told = json.dumps([told, VERIFIERS, OUTPUT_TOKENS], sort_keys=True)
    return blake2b(told.encode(), digest_size=8).hexdigest()


HEAD: Final[Mapping[str, Any]] = json.loads(
    Path(__file__).parents[1].joinpath("reasoner", "weights", "likelihood", "prm.json").read_text("utf-8")
)
"""The process reward model: what was learnt over the likelihoods of the model that it names."""
VERIFIERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "prm": {
        "kind": "likelihood", "model": "prm", "template": HEAD["template"], "weights": HEAD["weights"],
        "aggregation": "last",
    },
}  # fmt: skip


def configuration(addresses: Mapping[str, str], connections: int) -> dict[str, Any]:
    """The ``ponder.yaml``: an upstream and a model of the same name for each vLLM."""
    return {
        "upstreams": {
            name: {"kind": "vllm", "base_url": f"{address}/v1", "connections": connections, "queue": 4096}
            for name, address in addresses.items()
        },
        "models": {
            name: {"upstream": name, "price": "free", "context_tokens": 1024, "max_output_tokens": OUTPUT_TOKENS}
            for name in addresses
        },
        "verifiers": dict(VERIFIERS),
        "policy": POLICY,
        "limits": {"deadline_s": 600},
        "retention": {"store_text": True},
    }


def policy(*, has_large: bool) -> dict[str, Any]:
    """The policy whose arms are asked for by name."""
    chosen = [*names(TABLE, has_large=has_large), *_HELPERS]
    return {
        "policy": POLICY,
        "arms": {slug(name): _written(ARMS[name]) for name in chosen},
        "defaults": {"arm": "greedy", "reference": "greedy", "max_cost_usd": 1, "deadline_s": 600},
        "sticky": False,
    }


def adaptive(choice: Mapping[str, Arm]) -> dict[str, Any]:
    """The policy that gives each difficulty the arm that was chosen for it."""
    return {
        "policy": ADAPTIVE,
        "arms": {"greedy": dict(_SMALL), **{f"for-{difficulty}": dict(arm) for difficulty, arm in choice.items()}},
        "defaults": {"arm": "greedy", "reference": "greedy", "max_cost_usd": 1, "deadline_s": 600},
        "rules": [
            {"name": f"what is {difficulty}", "when": {"difficulty": [difficulty]}, "arm": f"for-{difficulty}"}
            for difficulty in choice
        ],
        "sticky": False,
    }


def _written(arm: Arm) -> dict[str, Any]:
    return {**arm, "cascade": [slug(name) for name in arm["cascade"]]} if "cascade" in arm else dict(arm)


def weights_digest(file: Path) -> str:
    """A digest of a model's weights."""
    return blake2b(file.read_bytes(), digest_size=8).hexdigest()
