"""A real gateway without models, and who administers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.gateway_process import GatewayProcess


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway's PONDER_HOME."""
    return tmp_path_factory.mktemp("admin") / "home"


@pytest.fixture(scope="package")
def administered(home: Path) -> Iterator[GatewayProcess]:
    """The gateway."""
    with GatewayProcess(home, {}, {}) as process:
        yield process


@pytest.fixture(scope="package")
def admin(administered: GatewayProcess, home: Path) -> Administrator:
    """Who holds admin.key."""
    return Administrator.of_home(administered.address, home)
