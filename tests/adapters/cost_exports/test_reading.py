"""Recognising exports, and refusing what is none."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.cost_exports.reading import open_export, open_file
from gateway.domain.reconciliation import Bill, Measure
from gateway.errors import ConfigurationError
from tests.adapters.cost_exports import samples
from tests.adapters.cost_exports.samples import opened

HEADER, ROW, *_ = samples.ANTHROPIC_COST.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (samples.ANTHROPIC_COST, "Anthropic console, cost"),
        (samples.ANTHROPIC_USAGE, "Anthropic console, usage"),
        (samples.OPENAI_COSTS, "OpenAI dashboard, costs"),
        (samples.OPENAI_USAGE, "OpenAI dashboard, completions usage"),
        (samples.ANTHROPIC_COST_REPORT, "Anthropic Admin API, cost_report"),
        (samples.ANTHROPIC_USAGE_REPORT, "Anthropic Admin API, usage_report/messages"),
        (samples.OPENAI_COSTS_PAGE, "OpenAI Admin API, costs"),
        (samples.OPENAI_USAGE_PAGE, "OpenAI Admin API, usage/completions"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
)
def test_each_export_is_known_by_its_header(content: Any, name: str) -> None:
    """The kind of export follows from its columns, not from its file's name."""
    assert opened(content).shape.name == name


def test_earlier_headers_are_known_as_well() -> None:
    """An export of 2024, with fewer columns, is read by those that it has."""
    early = (
        "usage_date_utc,model,workspace,api_key,usage_type,token_type,cost_usd\n"
        "2024-12-07,Claude 3.5 Sonnet 2024-10-22,,somebody,message,input_no_cache,0.10\n"
    )
    (only,) = opened(early).charges
    assert (only.day, only.api_keys) == ("2024-12-07", ("somebody",))


def test_an_unknown_header_is_refused_with_what_is_accepted() -> None:
    """The refusal lists the columns that were found, and every export that would be read."""
    with pytest.raises(ConfigurationError) as refused:
        opened("foo,bar\n1,2\n", "mine.csv")
    message = refused.value.message
    assert "mine.csv is no export that is known. Its columns are: foo, bar." in message
    assert "OpenAI dashboard, costs (CSV) with start_time, amount_value, amount_currency, line_item" in message
    assert message.count("\n") == 8


@pytest.mark.parametrize("content", ["", "  \n", '{"data": 1}', "[1]", "{", '{"data": [], "has_more": false}'])
def test_what_is_no_export_at_all_is_refused(content: str) -> None:
    """An empty file, other JSON and half a page are told apart from an export without differences."""
    with pytest.raises(ConfigurationError, match=r"(?i)accepted are"):
        opened(content)


def test_a_page_that_is_not_the_last_is_refused() -> None:
    """Comparing a part would report the rest as missing; all pages in an array are read."""
    page = samples.OPENAI_COSTS_PAGE
    with pytest.raises(ConfigurationError, match="has_more is true; add the next pages"):
        opened({**page, "has_more": True})
    assert len(list(opened([{**page, "has_more": True}, page]).charges)) == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",0.05,0.05,", ",five,0.05,", "export, row 2: cost_usd is not a number"),
        (",0.05,0.05,", ",NaN,0.05,", "row 2: cost_usd is not a number that can be counted"),
        (",0.05,0.05,", ",1e20,0.05,", "row 2: cost_usd is not a number that can be counted"),
        ("2026-11-20", "20 November", "row 2: the day is no date"),
    ],
)
def test_a_malformed_value_is_named_by_row_and_column(old: str, new: str, message: str) -> None:
    """A value that cannot be read ends the reading, and is not quoted."""
    with pytest.raises(ConfigurationError, match=message) as refused:
        list(opened(samples.ANTHROPIC_COST.replace(old, new, 1)).charges)
    assert new.strip(",") not in refused.value.message.partition(":")[2].replace("2026-11-22", "")


def test_buckets_longer_than_a_day_are_refused() -> None:
    """What spans several days cannot be compared by day."""
    with pytest.raises(ConfigurationError, match="bucket_width 1d"):
        list(opened(samples.OPENAI_COSTS.replace("1795219200,2026", "1797724800,2026", 1)).charges)


def test_rows_of_a_file_are_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    """Spreadsheets put a mark before the header."""
    file = tmp_path / "export.csv"
    file.write_text(samples.ANTHROPIC_COST, encoding="utf-8-sig")
    with open_file(file) as text:
        assert len(list(open_export(text, file.name).charges)) == 3


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 end in a refusal, wherever they stand."""
    file = tmp_path / "export.csv"
    for content in (b"\xff\xfe\x00", HEADER.encode() + b"\xff\xfe"):
        file.write_bytes(content)
        with open_file(file) as text, pytest.raises(ConfigurationError, match=r"export\.csv"):
            list(open_export(text, file.name).charges)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The refusal names the file and the reason."""
    with pytest.raises(ConfigurationError, match=r"none\.csv cannot be read: No such file"):
        open_file(tmp_path / "none.csv")


class _Made(io.RawIOBase):
    """A file that is made as it is read: a header, and many times the same row."""

    def __init__(self, rows: int) -> None:
        self._lines = itertools.chain([HEADER.encode()], itertools.repeat(ROW.encode(), rows))
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes more."""
        self._rest = self._rest or next(self._lines, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def test_memory_does_not_grow_with_the_rows() -> None:
    """Ten times the rows take no more memory: only sums are kept."""
    peaks = []
    for rows in (2_000, 20_000):
        tracemalloc.start()
        bill = Bill(Measure.COST, {})
        with io.TextIOWrapper(io.BufferedReader(_Made(rows)), encoding="utf-8", newline="") as file:
            for charge in open_export(file, "long.csv").charges:
                bill.add(charge)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert bill.rows == rows
    assert peaks[1] < peaks[0] * 1.5
