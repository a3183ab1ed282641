"""All routes of the admin API."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.http.admin import (
    audit,
    budgets,
    keys,
    policies,
    profiles,
    provider_keys,
    reconciliations,
    runs,
    teams,
    traffic,
    verifiers,
)

ROUTERS: tuple[APIRouter, ...] = (
    teams.routes,
    keys.routes,
    budgets.routes,
    provider_keys.routes,
    policies.routes,
    profiles.routes,
    runs.routes,
    verifiers.routes,
    audit.routes,
    traffic.routes,
    reconciliations.routes,
)
