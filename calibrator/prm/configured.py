"""What ``ponder prm`` takes from the configuration: a model and its upstream, and what they may cost."""

from __future__ import annotations

import os

from gateway.commands.models import NOT_RUNNING_YET
from gateway.domain.model import Model
from gateway.domain.money import Usd
from gateway.domain.pricing import FREE
from gateway.errors import ConfigurationError, UnknownModel
from gateway.ports import Upstream
from gateway.settings import load, places
from gateway.wiring import catalog


def configured_model(name: str, cap: Usd | None) -> tuple[Model, Upstream]:
    """A model of ponder.yaml. Raises UnknownModel, and ConfigurationError where it costs something without a cap."""
    where = places(os.environ)
    offered, _ = catalog(load(where.config), os.environ, embedded_url=where.embedded_url or NOT_RUNNING_YET)
    model = offered.models.get(name)
    if model is None:
        raise UnknownModel(f"there is no model {name!r}; there are: {', '.join(sorted(offered.models)) or 'none'}")
    if cap is None and model.price != FREE:
        raise ConfigurationError(f"model {name} is not free: say --spend-at-most-usd")
    return model, offered.upstreams[model.upstream]
