"""Tests of gateway/store/rows.py; that records come back is tested with gateway/store/requests.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from gateway.domain.usage import Usage
from gateway.store.base import Unstorable
from gateway.store.rows import POSTGRES, SQLITE, Form, add_rows, empty_batch, scrub
from gateway.store.tables import draws, request_texts, requests
from tests.store.records import BARE, FULL, call, request


@pytest.mark.parametrize("form", [SQLITE, POSTGRES], ids=["sqlite", "postgresql"])
def test_rows_have_a_value_for_each_column(form: Form) -> None:
    """A row has as many values as its table has columns, whatever the record lacks."""
    batch = empty_batch()
    add_rows(batch, [FULL, BARE, request(1, calls=(call(usage=None, cost=None),))], form)
    assert {len(row) for row in batch.requests} == {len(requests.columns)}
    assert {len(row) for row in batch.draws} == {len(draws.columns)}
    assert {len(row) for row in batch.texts} == {len(request_texts.columns)}
    assert (len(batch.requests), len(batch.draws), len(batch.texts)) == (3, 3, 1)


def test_driver_values_are_those_of_the_column_types() -> None:
    """The ids and times that rows hold are what the columns' own types would have made of them."""
    dialect = sqlite.dialect()
    for column, value in ((requests.c.id, FULL.id), (requests.c.started_at, FULL.started_at)):
        convert = column.type.dialect_impl(dialect).bind_processor(dialect)
        form = SQLITE.identity if column is requests.c.id else SQLITE.moment
        assert convert is not None
        assert form(value) == convert(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [
        request(id="not-a-uuid"),
        request(id="ab"),
        request(tags={"text": "\ud800"}),
        request(calls=(call(usage=Usage(raw={"total": 2**70})),)),
        request(calls=(call(sent={"object": object()}),)),
    ],
)
def test_what_has_no_form_is_unstorable(record: Any) -> None:
    """A value that cannot be made into a row is named as such before a database sees it."""
    with pytest.raises(Unstorable):
        add_rows(empty_batch(), [record], SQLITE)


def test_scrubbing_leaves_a_clean_record_alone() -> None:
    """A record that both databases hold stays what it is."""
    assert scrub(BARE) == BARE
    assert scrub(replace(FULL, calls=())) == replace(FULL, calls=())


def test_scrubbing_makes_text_and_numbers_storable() -> None:
    """Surrogates and NULs are replaced, large integers clamped in columns and kept as text in documents."""
    dirty = request(
        model_asked="a\ud800b\0",
        answer_id="x" * 5000,
        tags={"\ud800": "\0"},
        calls=(call(usage=Usage(input_tokens=2**70, raw={"deep": [{"total": 2**70, "text": "\udfff"}]})),),
    )
    clean = scrub(dirty)
    assert clean.model_asked == "a?b\N{REPLACEMENT CHARACTER}"
    assert clean.answer_id == "x" * 512
    assert clean.tags == {"?": "\N{REPLACEMENT CHARACTER}"}
    usage = clean.calls[0].usage
    assert usage is not None
    assert usage.input_tokens == 2**63 - 1
    assert usage.raw == {"deep": [{"total": str(2**70), "text": "?"}]}
