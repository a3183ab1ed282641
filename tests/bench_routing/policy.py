"""The policy that is calibrated, and the configuration in which a token costs a millionth of a dollar."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tests.bench_search import arms as search_arms
from tests.bench_search.arms import Arm, best_of, repair
from tests.bench_search.bed import CONNECTIONS
from tests.bench_search.figures import VERIFIER

POLICY: Final = "routing"
RULE: Final = "as hard as it is"
REFERENCE: Final = "dvts"
LOSS_AT_MOST: Final = 0.01
CONFIDENCE: Final = 0.9
TOKENS_PER_DOLLAR: Final = 1_000_000
_MOST_PER_ASK_USD: Final = 1
_DEADLINE_S: Final = 600
_CAP_USD: Final = 200

ARMS: Final[Mapping[str, Arm]] = {
    "greedy": {"model": "small"},
    "vote": search_arms.TABLE["vote 8"],
    "best-of-4": best_of(4),
    "repair": repair(8),
    "best-of-16": best_of(16, accept=0.9, schedule="sequential"),
    "repair-24": repair(24),
    REFERENCE: search_arms.TABLE["DVTS 16 / 4"],
}
"""From the cheapest to the reference. None of them asks the large model for an answer: it would be the one to choose
everywhere, and nothing would be left to calibrate."""


def document() -> dict[str, Any]:
    """The policy: one calibrated rule for all that is asked, and always the reference until it is calibrated."""
    return {
        "policy": POLICY,
        "arms": {name: dict(arm) for name, arm in ARMS.items()},
        "defaults": {
            "arm": REFERENCE, "reference": REFERENCE, "max_cost_usd": _MOST_PER_ASK_USD, "deadline_s": _DEADLINE_S,
        },
        "rules": [
            {
                "name": RULE,
                "when": {"category": ["math"]},
                "calibrated": {
                    "among": list(ARMS),
                    "loss_at_most": LOSS_AT_MOST,
                    "confidence": CONFIDENCE,
                    "until_certified": REFERENCE,
                },
            }
        ],
        "calibrate": {"every": "1w", "spend_at_most_usd": _CAP_USD},
        "sticky": False,
    }  # fmt: skip


def configuration(addresses: Mapping[str, str]) -> dict[str, Any]:
    """The ``ponder.yaml``: a dollar for a million tokens that the small model writes, or that the verifier reads.

    So what the ledger charges is the tokens of an answer, and the cheapest arm is the one with the fewest.
    """
    settings = search_arms.configuration(addresses, CONNECTIONS)
    reads = {"input_per_mtok": 1, "cached_input_per_mtok": 1, "output_per_mtok": 0}
    writes = {"input_per_mtok": 0, "cached_input_per_mtok": 0, "output_per_mtok": 1}
    for name, model in settings["models"].items():
        model["price"] = reads if name == VERIFIER else writes
    return settings


def tokens_of(dollars: str | Decimal) -> float:
    """The tokens that a charge stands for."""
    return float(Decimal(dollars) * TOKENS_PER_DOLLAR)
