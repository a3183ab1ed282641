"""Who changes something from the dashboard: the visitor, with the role that the change takes."""

from __future__ import annotations

from starlette.requests import Request

from gateway.domain.key import Role
from gateway.domain.tenancy import Author
from gateway.errors import Forbidden
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.visitors import Visitor


def author(request: Request, board: Board, needed: Role) -> Author:
    """The visitor as the author of a change. Raises Forbidden for a lesser role."""
    visitor: Visitor = request.scope[VISITOR]
    role = visitor.key.role
    if role is None or not role.covers(needed):
        raise Forbidden(f"this takes the role {needed}; you are signed in with the role {role}")
    return Author(visitor.key.id, role, board.desk.clock.now())


def may(request: Request, needed: Role) -> bool:
    """Whether the visitor's role suffices: what may not be done is not offered."""
    visitor: Visitor = request.scope[VISITOR]
    return visitor.key.role is not None and visitor.key.role.covers(needed)
