"""The attribution of CPU time to stages."""

from __future__ import annotations

import pytest

from tests.bench.stages import EVENT_LOOP, microseconds_per_request, stage_of


@pytest.mark.parametrize(
    ("files", "stage"),
    [
        (["/v/aiohttp/client.py", "/r/gateway/adapters/transport.py", "/v/uvicorn/run.py"], "upstream call"),
        (["<string>", "/r/gateway/flow/exchange.py", "/r/gateway/flow/serve.py"], "record"),
        (["/lib/enum.py", "/r/gateway/domain/pricing.py", "/r/gateway/flow/exchange.py"], "price"),
        (["/lib/asyncio/runners.py", "/v/uvicorn/server.py"], EVENT_LOOP),
        (["/r/gateway/flow/serve.py"], "order of steps"),
        (["/lib/threading.py"], EVENT_LOOP),
    ],
)
def test_the_innermost_known_file_names_the_stage(files: list[str], stage: str) -> None:
    """A moment belongs to the innermost frame that is known, and to the more exact of two names for it."""
    assert stage_of(iter(files)) == stage


def test_the_more_exact_place_wins() -> None:
    """A file that is listed by itself is not swallowed by the folder it lies in."""
    assert stage_of(iter(["/r/gateway/flow/admit.py"])) == "key check"
    assert stage_of(iter(["/r/gateway/store/key_ring.py"])) == "key check"


def test_seconds_become_microseconds_of_one_request() -> None:
    """Two seconds over ten thousand requests are 200 µs each."""
    assert microseconds_per_request({"price": 2.0}, 10_000) == {"price": pytest.approx(200.0)}
