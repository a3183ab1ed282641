"""A stand-in for a running gateway or an upstream: answers each path with what a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(
    answers: Mapping[str, tuple[int, Any]], *, key: str | None = None
) -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """Serve ``answers`` by path; yields the address and the headers of the requests that came.

    With ``key``, requests without it are answered 401.
    """
    seen: list[Mapping[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            is_welcome = key is None or self.headers.get("Authorization") == f"Bearer {key}"
            refused = (401, {"error": {"message": "this key is not known"}})
            unknown = (404, {"error": {"message": "no such thing"}})
            status, value = answers.get(self.path, unknown) if is_welcome else refused
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()
