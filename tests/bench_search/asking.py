"""Problems put to the gateway, so many at a time, and what its database then holds of them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import aiohttp

from tests.bench_search.attempts import Attempt, Draw, Use
from tests.bench_search.bed import Bed
from tests.bench_search.figures import VERIFIER
from tests.reasoner.prompts import messages
from tests.reasoner.tasks import Problem, Split, is_right, stated_answer

AT_ONCE: Final = 16
"""Problems in flight: enough to keep the server busy, and few enough that one of them is not all queue."""
_BLOCK_TOKENS: Final = 32
_DEADLINE_S: Final = 600
_WRITE_PATIENCE_S: Final = 120
_SEEDS: Final = 2**31
_WRITTEN: Final = "whole"
_CHUNK: Final = 500
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class _Reply:
    problem: Problem
    request_id: str
    status: int
    text: str
    degraded: str | None
    wall_s: float


@dataclass(slots=True)
class _Recorded:
    uses: dict[str, Use]
    draws: tuple[Draw, ...] = ()
    cacheable: int = 0
    from_cache: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """Problems of one split and one difficulty, for one arm."""

    setting: str
    arm: str
    split: Split
    operations: int


def ask_all(
    bed: Bed,
    cell: Cell,
    problems: Sequence[Problem],
    *,
    key: str,
    model: str,
    hints: Mapping[Problem, Mapping[str, str]] | None = None,
) -> list[Attempt]:
    """Ask all problems of a cell, and read what is on record of them."""
    replies = asyncio.run(_replies(bed, key, model, problems, hints or {}))
    recorded = _recorded(bed, {reply.request_id: reply.problem for reply in replies if reply.request_id})
    return [_attempt(cell, reply, recorded.get(_plain(reply.request_id))) for reply in replies]


def seed_of(problem: Problem) -> int:
    """The same seed for a problem whatever the arm: so arms are compared on the same luck, where they draw alike."""
    return int.from_bytes(blake2b(problem.question.encode(), digest_size=8).digest()) % _SEEDS


async def _replies(
    bed: Bed, key: str, model: str, problems: Sequence[Problem], hints: Mapping[Problem, Mapping[str, str]]
) -> list[_Reply]:
    places = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(bed.gateway.address, headers=headers, timeout=timeout) as session:

        async def ask(problem: Problem) -> _Reply:
            body = {"model": model, "messages": messages(problem), "temperature": 0, "seed": seed_of(problem)}
            async with places:
                started = time.monotonic()
                async with session.post("/v1/chat/completions", json=body, headers=hints.get(problem)) as response:
                    said = await response.json()
                spent_s = time.monotonic() - started
            choices = said.get("choices") or [{"message": {"content": ""}}]
            return _Reply(
                problem,
                response.headers.get("x-ponder-request-id", ""),
                response.status,
                choices[0]["message"]["content"] or "",
                response.headers.get("x-ponder-degraded"),
                spent_s,
            )

        return await asyncio.gather(*map(ask, problems))


def _attempt(cell: Cell, reply: _Reply, recorded: _Recorded | None) -> Attempt:
    if recorded is None:
        raise RuntimeError(f"a request of arm {cell.arm} is not on record (status {reply.status})")
    return Attempt(
        setting=cell.setting,
        arm=cell.arm,
        split=cell.split,
        operations=cell.operations,
        question=reply.problem.question,
        is_right=reply.status == _OK and is_right(reply.problem, reply.text),
        status=reply.status,
        wall_s=reply.wall_s,
        uses=recorded.uses,
        draws=recorded.draws,
        degraded=reply.degraded,
        cacheable=recorded.cacheable,
        from_cache=recorded.from_cache,
    )


def _plain(request_id: str) -> str:
    return request_id.replace("-", "")


def _recorded(bed: Bed, problems: Mapping[str, Problem]) -> dict[str, _Recorded]:
    """What the gateway's database holds of these requests, once its writer has come to them."""
    ids = {_plain(request_id): problem for request_id, problem in problems.items()}
    address = f"file:{bed.gateway.home / 'ponder.db'}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        database.row_factory = sqlite3.Row
        found: dict[str, _Recorded] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = list(ids)[start : start + _CHUNK]
            requests = _rows_of(database, "id", "requests", chunk, await_all=True)
            calls = _rows_of(database, "request_id", "draws", chunk)
            texts = _rows_of(database, "request_id", "request_texts", chunk)
            for each in chunk:
                written = json.loads(texts[each][0]["draws"] or "{}") if each in texts else {}
                search = json.loads(requests[each][0]["search"] or "null")
                found[each] = _read(ids[each], calls.get(each, []), search, written)
        return found


def _rows_of(
    database: sqlite3.Connection, column: str, table: str, ids: Sequence[str], *, await_all: bool = False
) -> dict[str, list[sqlite3.Row]]:
    """The rows of these requests, by request; the journal is moved to the database behind the answers."""
    give_up = time.monotonic() + _WRITE_PATIENCE_S
    marks = ",".join("?" * len(ids))
    while True:
        rows = database.execute(f"SELECT * FROM {table} WHERE {column} IN ({marks})", ids).fetchall()
        found: dict[str, list[sqlite3.Row]] = {}
        for row in rows:
            found.setdefault(row[column], []).append(row)
        if not await_all or len(found) == len(ids):
            return found
        if time.monotonic() > give_up:
            raise RuntimeError(f"{len(ids) - len(found)} requests were not written to the database")
        time.sleep(0.2)


def _read(
    problem: Problem, calls: Sequence[sqlite3.Row], search: Mapping[str, Any] | None, texts: Mapping[str, str]
) -> _Recorded:
    recorded = _Recorded({})
    reads: dict[int, int] = {}
    has_begun = False
    for call in sorted(calls, key=lambda row: row["number"]):
        asked = json.loads(call["requested"])
        cached, written = call["cached_tokens"] or 0, call["output_tokens"] or 0
        prompt = (call["input_tokens"] or 0) + cached
        if not prompt:
            continue  # a prompt that was only tokenized
        model = call["model"]
        recorded.uses[model] = recorded.uses.get(model, Use()).plus(prompt, cached, written)
        if model == VERIFIER:
            reads[asked["draw"]] = reads.get(asked["draw"], 0) + prompt
        elif not has_begun:
            has_begun = True
        else:
            recorded.cacheable += (prompt - 1) // _BLOCK_TOKENS * _BLOCK_TOKENS
            recorded.from_cache += cached
    if search is not None:
        recorded.draws = tuple(_draw(problem, each, reads, texts) for each in search["draws"])
    return recorded


def _draw(problem: Problem, draw: Mapping[str, Any], reads: Mapping[int, int], texts: Mapping[str, str]) -> Draw:
    text = texts.get(str(draw["draw"]), "")
    is_whole = draw["fate"] == _WRITTEN
    return Draw(
        tokens=draw["tokens"],
        read=reads.get(draw["draw"], 0),
        score=draw["scores"][-1] if draw["scores"] else None,
        is_right=is_right(problem, text) if is_whole else None,
        answer=stated_answer(text) if is_whole else None,
    )
