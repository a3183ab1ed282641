"""`ponder` against a real gateway of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from click.testing import Result

from tests.commands.conftest import Ponder
from tests.upstreams.gateway_process import GatewayProcess


@dataclass(frozen=True, slots=True)
class Administered:
    """Runs commands in the environment of the gateway's machine."""

    run: Ponder
    gateway: GatewayProcess

    def __call__(self, *arguments: str, **more: str) -> Result:
        """The result of a command."""
        home = str(self.gateway.log_file.parent)
        return self.run(*arguments, **{"PONDER_PORT": str(self.gateway.port), "PONDER_HOME": home, **more})

    def told(self, *arguments: str) -> Any:
        """What a command that must succeed prints as JSON."""
        return self.told_by({}, *arguments)

    def told_by(self, more: Mapping[str, str], *arguments: str) -> Any:
        """The same, with more in its environment."""
        result = self(*arguments, "--json", **more)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)
