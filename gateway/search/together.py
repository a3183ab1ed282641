"""Several searches at the same time, within one: each gets the events of its own draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.search.board import Board, Moves
from gateway.search.protocol import Event, TimeUp, Wait, Winner


@dataclass(slots=True)
class _Part:
    board: Board
    moves: Moves[Winner]
    winner: Winner | None = None


def together(parts: Sequence[tuple[Board, Moves[Winner]]]) -> Moves[list[Winner]]:
    """The winners of searches that run at the same time, in the order of the searches.

    Each search has a board of its own, within that of the search that runs them.
    """
    running = [_Part(board, moves) for board, moves in parts]
    for part in running:
        yield from _advance(part, None)
    while waiting := [part for part in running if part.winner is None]:
        event = yield Wait()
        owner = [] if isinstance(event, TimeUp) else [part for part in waiting if part.board.owns(event)]
        # What belongs to none of them, a late report of a cancelled draw, may make room for any.
        for part in owner or waiting:
            yield from _advance(part, event)
    return [part.winner for part in running if part.winner is not None]


def _advance(part: _Part, event: Event | None) -> Moves[None]:
    """Let a search go on until it waits, or is done."""
    try:
        command = part.moves.send(event)
        while not isinstance(command, Wait):
            yield command
            command = part.moves.send(None)
    except StopIteration as done:
        part.winner = done.value
