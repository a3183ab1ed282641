"""Fields of forms and addresses made into what the admin API takes, with its own rules."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.errors import InvalidRequest
from gateway.http.admin.desk import REFERENCE

Body = TypeVar("Body", bound=BaseModel)

_REFERENCE: Final = re.compile(REFERENCE)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST: Final = 200


def read(body: type[Body], **said: Any) -> Body:
    """The body of an admin request from a form's fields; those left empty are left out. Raises InvalidRequest."""
    try:
        return body.model_validate({name: value for name, value in said.items() if value not in ("", None)})
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise InvalidRequest(f"{where}: {first['msg']}", param=where) from None


def reference(given: str) -> str:
    """An id or a name, as it stands in addresses. Raises InvalidRequest."""
    if not _REFERENCE.fullmatch(given):
        raise InvalidRequest("an id or a name has at most 64 letters, digits and . _ @ : -")
    return given


def digest(given: str) -> str:
    """A version's digest. Raises InvalidRequest."""
    if not _DIGEST.fullmatch(given):
        raise InvalidRequest("a version is named by its digest, of 64 hexadecimal digits", param="version")
    return given


def text(given: str) -> str | None:
    """What something is looked for by; None for nothing. Raises InvalidRequest."""
    if len(given) > _LONGEST or not given.isprintable():
        raise InvalidRequest(f"what is looked for has at most {_LONGEST} characters, all printable")
    return given or None
