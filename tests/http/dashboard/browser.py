"""Somebody at the dashboard, as a browser without scripts would be; and a strict look at what it is sent."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx

VOID = {"meta", "link", "input", "br", "hr", "img"}
MAY_STAY_OPEN = {"th", "td", "tr", "thead", "tbody", "p", "option"}
"""Elements whose end tags HTML leaves out: they end where another begins, or their parent does."""
SVG_ENDS = {"path", "rect", "circle"}


class Browser:
    """One session. Sends what browsers send along with forms of a page's own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = httpx.Client(base_url=address, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))

    def sign_in(self, secret: str, **headers: str) -> httpx.Response:
        """Sign in with a key."""
        return self.client.post("/dashboard/sign-in", data={"key": secret}, headers={"origin": self.address, **headers})

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self.client.get(path)

    def form_token(self) -> str:
        """What stands in this session's forms."""
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get("/dashboard/policies").text)
        assert found is not None
        return found[1]

    def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of a page of this session."""
        data = {"form_token": self.form_token(), **fields}
        return self.client.post(path, data=data, headers={"origin": self.address})


class Reading(HTMLParser):
    """Reads a page or a part of one strictly: what is opened is closed, in order, and ids are not repeated."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        while self.open and self.open[-1] in MAY_STAY_OPEN:
            self.open.pop()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"<{tag}> has an attribute twice")
        told = dict(attrs)
        self.tags.append((tag, told))
        if (identity := told.get("id")) is not None:
            if identity in self.ids:
                self.faults.append(f"the id {identity!r} is there twice")
            self.ids.add(identity)
        if tag not in VOID | SVG_ENDS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in SVG_ENDS or tag in VOID:
            return
        while self.open and self.open[-1] != tag and self.open[-1] in MAY_STAY_OPEN:
            self.open.pop()
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes nothing, inside {self.open[-3:]}")
        else:
            self.open.pop()
