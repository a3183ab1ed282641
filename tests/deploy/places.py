"""Where the files are that these tests read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
USER = 10001
"""Who the image runs as."""


def documents(text: str) -> list[Any]:
    """The documents of a YAML text that hold something."""
    return [document for document in yaml.safe_load_all(text) if document]


def moving(image: str) -> bool:
    """Whether the name of an image means another one tomorrow, as far as the name itself tells."""
    name, _, tag = image.rpartition(":")
    return "@sha256:" not in image and (not name or "/" in tag or tag in {"", "latest", "main", "nightly"})


def variables(text: str) -> set[str]:
    """The PONDER_ variables that a text names."""
    return set(re.findall(r"\bPONDER_[A-Z]+(?:_[A-Z]+)*\b", text))


def known_variables() -> set[str]:
    """Those that the program reads."""
    return {name for file in _sources() for name in variables(file.read_text("utf-8"))}


def _sources() -> Iterator[Path]:
    yield from (ROOT / "gateway").rglob("*.py")
    yield from (ROOT / "calibrator").rglob("*.py")
