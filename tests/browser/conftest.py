"""A real gateway with traffic on record, and Chromium in front of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.upstreams.gateway_process import REPOSITORY, GatewayProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PYTHON = os.environ.get("TEST_GATEWAY_PYTHON", sys.executable)


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, and a request on record with a search."""

    address: str
    secret: str
    request_id: str
    run: str

    def sign_in(self, page: Page) -> None:
        """Sign in, by the keyboard alone."""
        page.goto(f"{self.address}/dashboard")
        # The field takes the focus by itself, a moment after the page is there.
        page.wait_for_function("() => document.activeElement instanceof HTMLInputElement")
        page.keyboard.type(self.secret)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{self.address}/dashboard")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Headless Chromium, as the machine has it."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail("Chromium is needed: install one (apt-get install chromium), or name its program in CHROMIUM")
    with sync_playwright() as playwright:
        # The sandbox does not start for root, as in containers.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def _site(home: Path, texts: str) -> Iterator[Site]:
    command = [_PYTHON, "-m", "tests.http.dashboard.seeding", str(home), texts]
    seeded = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(seeded.stdout)
    with GatewayProcess(home, told["configuration"], {}) as process:
        secret = (home / "admin.key").read_text("utf-8").strip()
        yield Site(process.address, secret, told["request_id"], told["run"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway whose log holds hostile texts."""
    yield from _site(tmp_path_factory.mktemp("browser") / "home", "hostile")


@pytest.fixture(scope="session")
def tidy_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway whose log holds none, for pictures."""
    yield from _site(tmp_path_factory.mktemp("pictures") / "home", "tidy")


class Watched:
    """Pages of one context, and all that must not happen in them."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.faults: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", lambda said: said.type in {"error", "warning"} and self.faults.append(said.text))
        self.page.on("pageerror", lambda fault: self.faults.append(str(fault)))
        self.page.on("dialog", lambda dialog: (self.faults.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on(
            "request", lambda asked: asked.url.startswith(f"{address}/dashboard") or self.faults.append(asked.url)
        )


@pytest.fixture
def watched(chromium: Browser, site: Site) -> Iterator[Watched]:
    """A page that is signed in; that nothing untoward happened is checked at the end."""
    made = Watched(chromium, site.address, viewport={"width": 1280, "height": 900})
    site.sign_in(made.page)
    yield made
    made.context.close()
    assert made.faults == []
