"""Somebody who administers a real gateway."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_numbers = itertools.count(1)


def fresh(kind: str) -> str:
    """A name that nobody has."""
    return f"{kind}-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Administrator:
    """Calls ``/admin`` with a secret."""

    address: str
    secret: str | None

    @classmethod
    def of_home(cls, address: str, home: Path) -> Administrator:
        """The one who holds admin.key."""
        return cls(address, (home / "admin.key").read_text("utf-8").strip())

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """The answer to a request below ``/admin``."""
        headers = {} if self.secret is None else {"authorization": f"Bearer {self.secret}"}
        headers |= options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return httpx.request(method, f"{self.address}/admin{path}", headers=headers, timeout=30, **options)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a list or a thing."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a change that must succeed."""
        answer = self.ask(method, path, body)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    def team(self, **body: Any) -> dict[str, Any]:
        """A new team."""
        made: dict[str, Any] = self.done("POST", "/teams", {"name": fresh("team"), **body})
        return made

    def key(self, **body: Any) -> tuple[dict[str, Any], str]:
        """A new key and its secret."""
        issued = self.done("POST", "/keys", {"name": fresh("k"), **body})
        return issued["key"], issued["secret"]

    def having(self, role: str | None) -> Administrator:
        """Somebody with a new key of this role."""
        return Administrator(self.address, self.key(role=role)[1])
