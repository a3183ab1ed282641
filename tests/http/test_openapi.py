"""Tests of gateway/http/openapi.py: the document says what is so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Gateway
from gateway.settings import places


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a gateway."""
    home: Path = tmp_path_factory.mktemp("openapi")
    gateway = Gateway(places({"PONDER_HOME": str(home), "PONDER_CONFIG": str(home / "ponder.yaml")}), {})

    async def read() -> dict[str, Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url="http://gateway") as client:
            found: dict[str, Any] = (await client.get("/openapi.json")).json()
            return found

    return asyncio.run(read())


def _operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_no_operation_promises_what_is_not_answered(document: dict[str, Any]) -> None:
    """An invalid request is answered 400 in our shape, never 422 in FastAPI's."""
    assert not [name for name, operation in _operations(document).items() if "422" in operation["responses"]]
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_administration_documents_its_refusals(document: dict[str, Any]) -> None:
    """Every operation under /admin names the statuses it refuses with, and the shape of a success."""
    for name, operation in _operations(document).items():
        if " /admin" in name:
            assert {"400", "401", "403", "404", "409", "413", "503"} < operation["responses"].keys(), name
            success = operation["responses"].get("200") or operation["responses"]["201"]
            assert "$ref" in success["content"]["application/json"]["schema"], name


def test_bodies_refuse_unknown_fields(document: dict[str, Any]) -> None:
    """Every body that /admin takes says that it takes no other fields."""
    taken = {
        reference["$ref"].rsplit("/", 1)[1]
        for operation in _operations(document).values()
        for reference in _references(operation.get("requestBody", {}))
    }
    assert taken
    schemas = document["components"]["schemas"]
    assert all(schemas[name]["additionalProperties"] is False for name in taken)


def _references(value: Any) -> list[dict[str, str]]:
    if isinstance(value, dict):
        return [value] if "$ref" in value else [found for each in value.values() for found in _references(each)]
    return [found for each in value for found in _references(each)] if isinstance(value, list) else []
