"""Any other provider (Gemini, Bedrock, Azure, Vertex, Mistral, …) through litellm.

The only file that imports litellm, and only when such an upstream is first called: that takes
seconds and some 130 MB, so it happens in a thread and never at start. It speaks openai-chat to the
gateway. Address, key and headers are the operator's; of a request only the fields of
:mod:`gateway.adapters.litellm_fields` reach litellm. Its retries, caches, callbacks, logs and
downloads are off. A server that is OpenAI-compatible is better off with ``kind: openai``, which
passes bytes and needs none of this.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.adapters.egress import Egress
from gateway.adapters.litellm_faults import provider_refusal, refused, translated
from gateway.adapters.litellm_fields import chat_arguments, embedding_arguments
from gateway.adapters.litellm_thinking import take_native
from gateway.adapters.litellm_usage import answer_usage, tidy
from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import Dialect
from gateway.errors import InvalidRequest, UpstreamError, UpstreamFailed, UpstreamTimedOut
from gateway.ports import UpstreamCall, UpstreamReply

if TYPE_CHECKING:
    from gateway.adapters.litellm_wire import Witness

_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",  # else it loads a .env file of the working directory
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",
}
"""Read while litellm is imported; each keeps it from reaching out by itself."""

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")

# What an odd answer or a missing extra (boto3) raises inside litellm, beside its own classes.
_TRANSLATION_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError)


@dataclass(frozen=True, slots=True)
class _Library:
    """litellm, imported and set up."""

    litellm: ModuleType
    wire: ModuleType
    failures: tuple[type[Exception], ...]


_importing = threading.Lock()


def _load() -> _Library:
    # functools.cache alone would let two first calls import side by side.
    with _importing:
        return _library()


@cache
def _library() -> _Library:
    os.environ.update(_ENVIRONMENT)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
    import litellm
    from litellm.caching.llm_caching_handler import LLMClientCache
    from litellm.llms.base_llm.chat.transformation import BaseLLMException
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    # By name, as it imports httpx, which nothing else needs and which costs start-up 100 ms.
    litellm_wire = import_module("gateway.adapters.litellm_wire")
    for name in _LOGGERS:  # the import gave them levels and handlers of its own
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        logging.getLogger(name).handlers.clear()
    client = litellm_wire.SharedClient()
    handler = AsyncHTTPHandler(transport=client.witnessed, follow_redirects=False)
    handler.client = client

    class Clients(LLMClientCache):  # type: ignore[misc]  # litellm is not type-checked (pyproject.toml)
        """Where litellm looks for a client of its own before it makes one: it always finds ours."""

        def get_cache(self, key: str, **options: Any) -> Any:
            return handler if key.startswith("async_httpx_client") else super().get_cache(key, **options)

    litellm.in_memory_llm_clients_cache = Clients()
    litellm.aclient_session = client  # the one for providers that are called by OpenAI's package
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.num_retries = 0
    litellm.disable_stop_sequence_limit = True  # else it drops all but four in silence
    litellm.cache = None
    litellm.callbacks = []
    litellm.disable_token_counter = True
    litellm.disable_hf_tokenizer_download = True
    # A cache_control mark would make it store, and the provider bill, contexts that nobody counts.
    litellm.disable_anthropic_gemini_context_caching_transform = True
    own = (kind for kind in vars(litellm.exceptions).values() if isinstance(kind, type))
    failures = tuple(kind for kind in own if issubclass(kind, Exception))
    return _Library(litellm, litellm_wire, (*failures, BaseLLMException, *litellm_wire.FAULTS, *_TRANSLATION_FAULTS))


class LiteLLMUpstream:
    """One provider, by the name that litellm knows it under."""

    dialects = (Dialect.OPENAI_CHAT,)

    def __init__(
        self,
        *,
        name: str,
        provider: str,
        api_key: str | None,
        base_url: str | None,
        headers: Mapping[str, str],
        connections: int,
        allow_private: bool = False,
    ) -> None:
        self.name = name
        self._provider = provider
        self._api_key = api_key
        self._base_url = base_url
        self._headers = dict(headers)
        self._connections = connections
        self._egress = Egress(urlsplit(base_url).hostname if base_url else None, allow_private)
        self._library: _Library | None = None
        self._pool: Any = None

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[UpstreamReply]:
        """Send the call; a stream's first chunk is waited for, so that a refusal is known before it begins."""
        deadline = asyncio.get_running_loop().time() + call.deadline_s
        library = await self._ready()
        timeout = library.wire.timeout_of(call)
        witness = library.wire.Witness(self.name, self._pool, timeout)
        exchange = _Exchange(self.name, library, witness, deadline)
        try:
            body = self._body(call)
            arguments = self._arguments(library, call, body) | self._own_arguments(body) | {"timeout": timeout}
            if call.path == "/embeddings":
                yield await exchange.embeddings(arguments, body.get("encoding_format"))
            elif call.is_stream:
                async with aclosing(await exchange.stream(arguments)) as stream:
                    yield _StreamReply(exchange, stream, await exchange.next_chunk(stream))
            else:
                yield await exchange.answer(arguments)
        finally:
            await witness.close()

    async def _ready(self) -> _Library:
        if self._library is None:
            library = await asyncio.to_thread(_load)
            if self._pool is None:
                self._pool = library.wire.connection_pool(self._connections, self._egress)
            self._library = library
        return self._library

    def _body(self, call: UpstreamCall) -> Mapping[str, Any]:
        try:
            body: Mapping[str, Any] = loads(call.body)
        except InvalidRequest as fault:
            raise refused(self.name, fault) from fault
        return body

    def _arguments(self, library: _Library, call: UpstreamCall, body: Mapping[str, Any]) -> dict[str, Any]:
        """The caller's part of litellm's arguments. Raises UpstreamRefused."""
        try:
            if call.path == "/embeddings":
                return embedding_arguments(body)
            supported = library.litellm.get_supported_openai_params(
                model=self._bare(str(body.get("model"))), custom_llm_provider=self._provider
            )
            native, rest = take_native(body, self._provider)
            arguments = chat_arguments(rest, self._provider, supported or ()) | {"stream": call.is_stream}
            return arguments | ({"extra_body": native} if native else {})
        except InvalidRequest as fault:
            raise refused(self.name, fault) from fault

    def _own_arguments(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The operator's part, and what keeps litellm to one plain call."""
        return {
            "model": f"{self._provider}/{self._bare(str(body.get('model')))}",
            "custom_llm_provider": self._provider,
            "api_key": self._api_key,
            "api_base": self._base_url,
            "extra_headers": self._headers or None,
            "drop_params": False,
            "num_retries": 0,
            "max_retries": 0,
            "caching": False,
            "no-log": True,
            # Calls with tools would import the mcp package first, which plain litellm does not bring.
            "_skip_mcp_handler": True,
        }

    def _bare(self, model: str) -> str:
        return model.removeprefix(f"{self._provider}/")

    async def close(self) -> None:
        """Close every pooled connection."""
        if self._pool is not None:
            await self._pool.aclose()


class _Exchange:
    """One call: litellm asked, its failures translated, its answers written down."""

    def __init__(self, name: str, library: _Library, witness: Witness, deadline: float) -> None:
        self._name = name
        self._library = library
        self._witness = witness
        self._deadline = deadline

    @property
    def headers(self) -> Mapping[str, str]:
        return {"x-request-id": self._witness.reply_id} if self._witness.reply_id else {}

    async def answer(self, arguments: Mapping[str, Any]) -> UpstreamReply:
        async with self._translating():
            answer = await self._library.litellm.acompletion(**arguments)
        body = tidy(answer.model_dump(exclude_none=True))
        for choice in body["choices"]:
            choice["message"].setdefault("content", None)
        return _WholeReply(self.headers, dumps(self.with_usage(body)))

    async def embeddings(self, arguments: Mapping[str, Any], encoding: object) -> UpstreamReply:
        async with self._translating():
            answer = await self._library.litellm.aembedding(**arguments)
        body = answer.model_dump(exclude_none=True)
        if encoding == "base64":
            for row in body["data"]:
                numbers = row["embedding"]
                row["embedding"] = b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        return _WholeReply(self.headers, dumps(self.with_usage(body)))

    async def stream(self, arguments: Mapping[str, Any]) -> Any:
        async with self._translating():
            return await self._library.litellm.acompletion(**arguments)

    async def next_chunk(self, stream: Any) -> Any | None:
        """The next chunk; None after the last. Raises UpstreamFailed for a stream that was cut."""
        async with self._translating():
            chunk = await anext(stream, None)
        if chunk is not None and self._is_cut(stream) and any(choice.finish_reason for choice in chunk.choices):
            raise UpstreamFailed(f"upstream {self._name} ended its stream before the answer was complete")
        return chunk

    def _is_cut(self, stream: Any) -> bool:
        """Whether the provider has given no reason to finish: litellm closes such a stream with a "stop" of its own."""
        reader = self._witness.reader
        if reader is not None and reader.is_gemini:
            return not reader.has_finish  # litellm reads a missing reason of Gemini's as "stop"
        return stream.received_finish_reason is None and stream.intermittent_finish_reason is None

    def with_usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer with the usage that the provider reported, or with none."""
        reader = self._witness.reader
        usage = answer_usage(
            body.pop("usage", None),
            reader.usage if reader else {},
            was_readable=reader is not None and reader.can_read,
        )
        if usage is not None:
            body["usage"] = usage
        return body

    @asynccontextmanager
    async def _translating(self) -> AsyncIterator[None]:
        """Watch over one wait for litellm: the deadline, the witness, and failures as UpstreamErrors."""
        try:
            with self._library.wire.witnessed_by(self._witness):
                async with asyncio.timeout_at(self._deadline):
                    yield
        except TimeoutError as fault:
            raise UpstreamTimedOut(f"upstream {self._name} did not answer within the request's deadline") from fault
        except self._library.failures as fault:
            raise self._error(fault) from fault

    def _error(self, fault: Exception) -> UpstreamError:
        witness = self._witness
        if witness.fault is not None:
            return witness.fault
        if witness.status is not None and witness.reader is None:
            return provider_refusal(self._name, witness.status, witness.error_body, witness.retry_after)
        return translated(fault, self._name, was_sent=witness.status is not None)


class _WholeReply:
    status = 200

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def complete(self) -> None:
        return None


class _StreamReply:
    status = 200

    def __init__(self, exchange: _Exchange, stream: Any, first: Any | None) -> None:
        self._exchange = exchange
        self._stream = stream
        self._first = first

    @property
    def headers(self) -> Mapping[str, str]:
        return self._exchange.headers

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        chunk, frame = self._first, {}
        while chunk is not None:
            body = tidy(chunk.model_dump(exclude_none=True))
            frame = {key: value for key, value in body.items() if key != "choices"}
            # The chunk with litellm's usage is its own; ours comes last and says what the provider said.
            if "usage" not in body and body.get("choices"):
                for choice in body["choices"]:
                    choice.setdefault("finish_reason", None)
                yield _event(body)
            chunk = await self._exchange.next_chunk(self._stream)
        counted = self._exchange.with_usage({**frame, "choices": []})
        if "usage" in counted:
            yield _event(counted)
        yield b"data: [DONE]\n\n"

    def complete(self) -> None:
        return None


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + dumps(body) + b"\n\n"
