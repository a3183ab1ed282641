"""Reading what wrk printed."""

from __future__ import annotations

import pytest

from tests.bench.load import parse
from tests.bench.processes import BenchError

_PRINTED = """\
Running 10s test @ http://127.0.0.1:9001/v1/chat/completions
  1 threads and 32 connections
Requests/sec:   5000.00
RESULT {"requests": 50000, "duration_us": 10000000, "p50_us": 6100, "p90_us": 7000, "p99_us": 12345, "errors": 3}
"""


def test_the_result_line_is_read_among_the_rest() -> None:
    """Figures come from the script's own line, in milliseconds and seconds."""
    load = parse(_PRINTED)
    assert load.requests_per_s == pytest.approx(5000)
    assert (load.p50_ms, load.p90_ms, load.p99_ms) == (6.1, 7.0, 12.345)
    assert load.errors == 3


def test_output_without_a_result_is_refused_and_quoted() -> None:
    """A wrk that printed no result is an error that shows what it did print."""
    with pytest.raises(BenchError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:9 Connection refused")
