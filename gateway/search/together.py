"""Several searches at the same time, within one: each gets the events of its own draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateway.search.board import Board, Moves
from gateway.search.protocol import Event, TimeUp, Wait

_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Part(Generic[_Result]):
    board: Board
    moves: Moves[_Result]
    result: list[_Result] = field(default_factory=list)
    """Its result, once there is one."""


def together(parts: Sequence[tuple[Board, Moves[_Result]]]) -> Moves[list[_Result]]:
    """The results of searches that run at the same time, in the order of the searches.

    Each search has a board of its own, within that of the search that runs them.
    """
    running = [_Part(board, moves) for board, moves in parts]
    for part in running:
        yield from _advance(part, None)
    while waiting := [part for part in running if not part.result]:
        event = yield Wait()
        owner = [] if isinstance(event, TimeUp) else [part for part in waiting if part.board.owns(event)]
        # What belongs to none of them, a late report of a cancelled draw, may make room for any.
        for part in owner or waiting:
            yield from _advance(part, event)
    return [part.result[0] for part in running]


def _advance(part: _Part[_Result], event: Event | None) -> Moves[None]:
    """Let a search go on until it waits, or is done."""
    try:
        command = part.moves.send(event)
        while not isinstance(command, Wait):
            yield command
            command = part.moves.send(None)
    except StopIteration as done:
        part.result.append(done.value)
