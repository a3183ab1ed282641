"""``GET /v1/models`` and ``/v1/models/{id}``, in the shape of whichever client asks."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.domain.key import Key, may_use
from gateway.domain.model import Model
from gateway.errors import UnknownModel
from gateway.flow.deciding import AUTO, followed
from gateway.flow.house import Catalog, House
from gateway.http.access import admitted
from gateway.http.openapi import UNAUTHENTICATED, refusals

_OURSELVES = "ponder"
_EPOCH = "1970-01-01T00:00:00Z"


def router(house: House) -> APIRouter:
    """The models list of ``house``'s catalog."""
    routes = APIRouter(tags=["models"])

    @routes.get(
        "/v1/models",
        summary="List the models that the key may ask for",
        responses=refusals({401: UNAUTHENTICATED}),
    )
    async def list_models(request: Request) -> dict[str, Any]:
        key = admitted(request, house)
        models = _offered(key, house.catalog)
        if _is_anthropic(request):
            rows = [_anthropic(model) for model in models]
            return {
                "data": rows,
                "has_more": False,
                "first_id": rows[0]["id"] if rows else None,
                "last_id": rows[-1]["id"] if rows else None,
            }
        return {"object": "list", "data": [_openai(model) for model in models]}

    @routes.get(
        "/v1/models/{name:path}",
        summary="Look up one model",
        responses=refusals({401: UNAUTHENTICATED, 404: "The key has no such model"}),
    )
    async def find_model(name: str, request: Request) -> dict[str, Any]:
        key = admitted(request, house)
        model = next((each for each in _offered(key, house.catalog) if each.name == name), None)
        if model is None:
            raise UnknownModel("this key has no such model; GET /v1/models lists those it has", param="model")
        return _anthropic(model) if _is_anthropic(request) else _openai(model)

    return routes


def _offered(key: Key, catalog: Catalog) -> list[Model]:
    """Every name that the key may ask for: the policies that may decide for it, and the models that it may use."""
    policies = followed(key, catalog)
    names = [AUTO, *(f"{AUTO}:{name}" for name in policies)] if policies else []
    decided = [Model(name, _OURSELVES, name, None) for name in names]
    return decided + [catalog.models[name] for name in sorted(catalog.models) if may_use(key, name)]


def _is_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _openai(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": model.upstream}


def _anthropic(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.max_output_tokens,
    }
