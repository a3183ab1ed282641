"""uvicorn's HTTP protocol with a limit on the size of a request's head, which it lacks.

Without one, a client that never ends its headers makes the process keep all it sends.
"""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded_protocol(header_bytes: int) -> type[HttpToolsProtocol]:
    """The protocol class for uvicorn's ``http`` setting; request line and headers may have ``header_bytes``."""

    class BoundedProtocol(HttpToolsProtocol):
        """Answers 431 (RFC 6585, section 5) to a larger head, and closes."""

        _chunk_bytes = 0
        _head_bytes = 0
        _is_in_head = True
        _is_too_large = False

        def data_received(self, data: bytes) -> None:
            self._chunk_bytes = len(data)
            self._head_bytes += len(data)
            super().data_received(data)
            if self._is_in_head and self._head_bytes > header_bytes and not self.transport.is_closing():
                self._refuse()

        def on_message_begin(self) -> None:
            self._is_in_head = True
            self._head_bytes = self._chunk_bytes  # at most: the message may begin anywhere in the chunk
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._is_in_head = False
            if self._head_bytes > header_bytes:  # what came with it, the body's beginning included; now exactly
                size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
                if size > header_bytes:
                    self._is_too_large = True
                    raise ValueError("the request's head is too large")
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            """Called when llhttp refuses a request, or one of the callbacks above does."""
            if self._is_too_large:
                self._refuse()
            else:
                super().send_400_response(msg)

        def _refuse(self) -> None:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            body = f'{{"error":{{"message":"the request\'s head is larger than {header_bytes} bytes"}}}}'.encode()
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
                + body
            )
            self.transport.close()

    return BoundedProtocol
