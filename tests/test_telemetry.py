"""Logs and metrics."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from gateway.telemetry import AccessLog, JsonFormatter, Meter

PROMPT = "A question that no log may show"


class FullDisk(io.StringIO):
    """A stream that cannot be written while ``is_full``."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


async def test_a_log_that_cannot_be_written_loses_lines_and_no_request() -> None:
    """Lines are lost and counted while the disk is full; afterwards they are written again."""
    stream = FullDisk()
    log = AccessLog(stream)
    for number in range(600):
        log.write({"n": number})
    log.flush()
    assert log.lost == 600
    stream.is_full = False
    log.write({"n": 600})
    log.flush()
    assert json.loads(stream.getvalue()) == {"n": 600}


def test_an_exception_is_logged_by_type_and_place_alone() -> None:
    """What a foreign exception says may quote its input, so it is not written."""

    def fail() -> None:
        raise ValueError(PROMPT)

    try:
        fail()
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", None, sys.exc_info())
    line = JsonFormatter().format(record)
    assert PROMPT not in line
    assert json.loads(line)["exception"] == "ValueError"
    assert json.loads(line)["where"].endswith(" fail")


@pytest.mark.parametrize("value", [0.005, 0.01, 50.0, 1000.0])
def test_a_histogram_counts_every_value(value: float) -> None:
    """Buckets are cumulative, and the last one holds every value."""
    meter = Meter()
    meter.request(
        endpoint="/v1/messages",
        operation="chat",
        model="m",
        result="answered",
        total_s=value,
        first_byte_s=None,
        cost_usd=0.0,
    )
    text = meter.render().decode()
    name = 'gen_ai_server_request_duration_seconds_{}{{gen_ai_operation_name="chat",gen_ai_request_model="m"'
    assert f'{name.format("bucket")},le="+Inf"}} 1.0' in text
    assert f"{name.format('sum')}}} {value}" in text
