"""Secrets are compared so that time tells nothing: as keyed digests, or by ``hmac.compare_digest``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

GATEWAY = Path(__file__).parent.parent / "gateway"
SECRET_NAMES = {"secret", "credential", "admin_secret", "default_secret", "admin_key", "api_key", "pepper"}


def _plain_comparisons(source: str) -> Iterator[str]:
    """Comparisons by value, or of membership, with a secret on either side."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq | ast.In) for each in node.ops):
            for side in (node.left, *node.comparators):
                name = side.id if isinstance(side, ast.Name) else side.attr if isinstance(side, ast.Attribute) else ""
                if name.lstrip("_") in SECRET_NAMES:
                    yield ast.unparse(node)


def test_a_plain_comparison_is_noticed() -> None:
    """The search below finds what it is to find."""
    assert list(_plain_comparisons("if self._secret == sent or credential in known or secret is None: ...")) == [
        "self._secret == sent",
        "credential in known",
    ]


def test_no_secret_is_compared_as_it_is() -> None:
    """Nowhere in the gateway does a secret stand beside ``==``, ``!=`` or ``in``."""
    found = {path.name: list(_plain_comparisons(path.read_text("utf-8"))) for path in GATEWAY.rglob("*.py")}
    assert not {name: comparisons for name, comparisons in found.items() if comparisons}
