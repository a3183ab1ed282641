"""A real gateway with traffic on record, and who looks at it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.http.admin.administrator import Administrator
from tests.http.dashboard.browser import Browser
from tests.http.dashboard.seeding import CONFIGURATION, seed
from tests.upstreams.gateway_process import GatewayProcess


@dataclass(frozen=True, slots=True)
class Shown:
    """The gateway, its home, and a request of hostile texts."""

    process: GatewayProcess
    home: Path
    request_id: str

    @property
    def secret(self) -> str:
        """Of admin.key."""
        return (self.home / "admin.key").read_text("utf-8").strip()

    def visitor(self, secret: str | None = None) -> Browser:
        """Somebody signed in, with admin.key unless another is given."""
        browser = Browser(self.process.address)
        assert browser.sign_in(secret or self.secret).status_code == 303
        return browser


@pytest.fixture(scope="package")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The gateway, whose database held a week's traffic before it started."""
    home = tmp_path_factory.mktemp("dashboard") / "home"
    request_id = seed(home, time.time())
    with GatewayProcess(home, CONFIGURATION, {}) as process:
        yield Shown(process, home, request_id)


@pytest.fixture(scope="package")
def admin(shown: Shown) -> Administrator:
    """Who holds admin.key, at the API."""
    return Administrator.of_home(shown.process.address, shown.home)
