"""Tests of gateway/supervisor/console.py."""

from __future__ import annotations

import io
import os

from gateway.supervisor.console import Console


def test_every_line_names_its_writer() -> None:
    """Lines are prefixed with the padded name of the process that wrote them."""
    out = io.StringIO()
    console = Console(out, ["gateway", "beat"], is_coloured=False)
    console.line("beat", "tick")
    console.say("all is well")
    assert out.getvalue() == "beat    | tick\nponder  | all is well\n"


def test_colour_stays_within_the_prefix() -> None:
    """In colour, only the prefix is coloured and the text is left as it came."""
    out = io.StringIO()
    Console(out, ["gateway"], is_coloured=True).line("gateway", "hello")
    assert out.getvalue() == "\x1b[36mgateway |\x1b[0m hello\n"


def test_a_reader_that_went_away_is_no_failure() -> None:
    """When the log's reader closes its end, later lines are dropped and nothing is raised."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as raw:
        out = io.TextIOWrapper(raw, write_through=True)
        console = Console(out, [], is_coloured=False)
        console.say("one")
        console.say("two")
        out.detach()
