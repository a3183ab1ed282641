"""``/health/live``, ``/health/ready`` and ``/metrics``.

Ready means able to serve. A database that is away does not make a replica unready: requests go
on, the state is listed as degraded, and no load balancer pulls every replica at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from gateway.telemetry import Meter


def router(meter: Meter, *, is_serving: Callable[[], bool], degraded: Callable[[], tuple[str, ...]]) -> APIRouter:
    """Health from two questions: do we serve, and what is not as it should be?"""
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live", summary="The process runs")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @routes.get("/health/ready", summary="Requests are served; degraded states are listed")
    async def ready(response: Response) -> dict[str, Any]:
        states = list(degraded())
        if not is_serving():
            response.status_code = 503
            return {"status": "stopping", "degraded": states}
        return {"status": "degraded" if states else "ready", "degraded": states}

    @routes.get("/metrics", summary="Prometheus exposition")
    async def metrics() -> Response:
        return Response(meter.render(), media_type=CONTENT_TYPE_LATEST)

    return routes
