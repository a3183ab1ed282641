"""The files that pages load: what is written of htmx is true of it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.http.dashboard import assets

FOLDER = Path(assets.__file__).with_name("static")


def test_htmx_is_the_one_that_is_written_down() -> None:
    """README.md has the version and the digest of the file that is served, and its licence lies beside it."""
    content, told = (FOLDER / "htmx-2.min.js").read_bytes(), (FOLDER / "README.md").read_text("utf-8")
    assert f"`{sha256(content).hexdigest()}`" in told
    version = re.search(rb'version:"([^"]+)"', content)
    assert version is not None
    assert f"htmx](https://htmx.org) {version[1].decode()}," in told
    assert "Zero-Clause BSD" in (FOLDER / "htmx-LICENSE").read_text("utf-8")


def test_addresses_change_with_what_is_in_them() -> None:
    """An address holds a digest, so that a browser may keep the file for good; others have none."""
    found = assets.find("dashboard.css")
    assert found is not None
    assert assets.address_of("dashboard.css").endswith(sha256(found.content).hexdigest()[:12])
    assert assets.find("README.md") is None
    with pytest.raises(LookupError, match=r"dashboard\.css"):
        assets.address_of("other.css")


def test_styles_load_nothing() -> None:
    """The style sheet names no address, and has both lights."""
    text = (FOLDER / "dashboard.css").read_text("utf-8")
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
