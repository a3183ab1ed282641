"""Admission for the endpoints that FastAPI serves, those under ``/admin`` apart."""

from __future__ import annotations

from fastapi import Request

from gateway.domain.key import Key
from gateway.flow.admit import admit
from gateway.flow.house import House
from gateway.http.door import credential_of, kept_headers


def admitted(request: Request, house: House) -> Key:
    """The caller's key. Raises Unauthenticated."""
    return admit(credential_of(kept_headers(request.scope["headers"])), house.keys, house.clock.now())
