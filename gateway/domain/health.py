"""Which models had better not be called now, as values that a decision can be made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.domain.model import Model


@dataclass(frozen=True, slots=True)
class Health:
    """``faults`` tells by upstream and the upstream's own name of a model why it is left alone, in words."""

    faults: Mapping[tuple[str, str], str]

    def fault_of(self, model: Model) -> str | None:
        """Why this model had better not be called now; None for one that is well or was never called."""
        return self.faults.get((model.upstream, model.upstream_name))


ALL_WELL = Health(MappingProxyType({}))
