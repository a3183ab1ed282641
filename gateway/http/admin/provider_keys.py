"""``/admin/provider-keys``: keys of model providers, stored encrypted. None is ever told again, not even to admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path

from gateway.domain.provider_key import StoredKey
from gateway.http.admin.bodies import Page, ProviderKeyAnswer, ProviderSecret
from gateway.http.admin.desk import REFERENCE, REFUSALS, UNCACHED, Admin, AtDesk, Viewer

routes = APIRouter(
    prefix="/admin/provider-keys", tags=["admin: provider keys"], responses=REFUSALS, dependencies=UNCACHED
)

_Upstream = Annotated[str, Path(pattern=REFERENCE, description="The upstream's name in ponder.yaml.")]


@routes.get("", summary="List stored provider keys (viewer)")
async def page(_: Viewer, desk: AtDesk) -> Page[ProviderKeyAnswer]:
    """All of them: whose, which version, since when, and what people know it by."""
    stored = await desk.provider_keys.all()
    return Page(data=[_answer(key) for key in stored.values()], next=None)


@routes.put("/{upstream}", summary="Store an upstream's key (admin)")
async def put(upstream: _Upstream, body: ProviderSecret, by: Admin, desk: AtDesk) -> ProviderKeyAnswer:
    """In the place of the one before; every gateway uses it within seconds, calls under way end with the old one."""
    secret = body.key.get_secret_value()
    stored = await desk.provider_keys.set(upstream, secret, desk.encryption.to_seal, by=by)
    await desk.refresh()
    return _answer(stored)


@routes.delete("/{upstream}", summary="Forget an upstream's key (admin)")
async def remove(upstream: _Upstream, by: Admin, desk: AtDesk) -> ProviderKeyAnswer:
    """The answer tells what was removed; the upstream's requests are refused until it has a key again."""
    removed = await desk.provider_keys.remove(upstream, by=by)
    await desk.refresh()
    return _answer(removed)


def _answer(key: StoredKey) -> ProviderKeyAnswer:
    return ProviderKeyAnswer(
        upstream=key.upstream,
        version=key.version,
        fingerprint=key.sealed.fingerprint,
        hint=key.sealed.hint,
        set_at=datetime.fromtimestamp(key.set_at, UTC),
    )
