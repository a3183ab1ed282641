"""The policy and the configuration are valid, and a token costs a millionth of a dollar."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from gateway.domain.pricing import cost
from gateway.domain.usage import Usage
from gateway.policy.document import PolicyDocument
from gateway.settings import load
from gateway.wiring import catalog
from tests.bench_routing.policy import ARMS, REFERENCE, configuration, document, tokens_of


def test_the_policy_is_valid_and_calibrates_all_its_arms() -> None:
    """The reference is the last of them, and answers until something is certified."""
    read = PolicyDocument.model_validate(document())
    (rule,) = read.rules
    assert rule.calibrated is not None
    assert rule.calibrated.among == tuple(ARMS)
    assert rule.calibrated.among[-1] == read.defaults.reference == REFERENCE


def test_what_is_charged_are_tokens_written_and_tokens_read_by_the_verifier(tmp_path: Path) -> None:
    """Prompts of the small model cost nothing, and neither does the token that the verifier's server writes."""
    file = tmp_path / "ponder.yaml"
    file.write_text(yaml.safe_dump(configuration({"small": "http://127.0.0.1:1", "prm": "http://127.0.0.1:2"})))
    known, _ = catalog(load(file), {}, embedded_url=None)
    used = Usage(input_tokens=700, cached_tokens=50, output_tokens=30)
    for name, tokens in (("small", 30), ("prm", 750)):
        price = known.models[name].price
        assert price is not None
        assert tokens_of(cost(used, price, at=0.0)) == pytest.approx(tokens)


def test_dollars_are_read_as_tokens() -> None:
    """As the header writes them."""
    assert tokens_of("0.000313") == pytest.approx(313)
    assert tokens_of(Decimal("1.5")) == pytest.approx(1_500_000)
