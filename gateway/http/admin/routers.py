"""All routes of the admin API."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.http.admin import audit, budgets, keys, teams, traffic

ROUTERS: tuple[APIRouter, ...] = (teams.routes, keys.routes, budgets.routes, audit.routes, traffic.routes)
