"""A strict stand-in for a vLLM that classifies, pools by step, compares and completes, as vLLM 0.32 does.

What it makes of a text is the test's own function. It refuses what vLLM would refuse, and fields that
no verifier has to send.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from gateway.adapters.vllm_upstream import VllmUpstream
from gateway.domain.chat import Dialect

MODEL = "prm"
KEY = "sk-loopback-vllm"
TAG = "<extra_0>"
_COMMON = {"model", "cache_salt"}
_FIELDS = {
    "/classify": _COMMON | {"input", "use_activation"},
    "/pooling": _COMMON | {"input", "use_activation"},
    "/score": _COMMON | {"text_1", "text_2", "use_activation"},
    "/v1/completions": _COMMON | {"prompt", "max_tokens", "temperature", "logprobs", "echo"},
    "/v1/chat/completions": _COMMON | {"messages", "max_tokens", "temperature", "logprobs", "top_logprobs"},
}
Spoil = Callable[[dict[str, Any]], Any]


class FakeVllm:
    """``async with FakeVllm(likely) as server``; ``likely`` says how likely a text is right."""

    def __init__(self, likely: Callable[[str], float], *, says: str = "Yes") -> None:
        self._likely = likely
        self.says = says
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        """Every call: its path and its body."""
        self.spoil: Spoil = lambda answer: answer
        """What becomes of answers on their way out; bytes go out as they are."""
        self.statuses: list[int] = []
        """The next calls are refused with these."""
        self.gate = asyncio.Event()
        """Nothing is answered while it is not set."""
        self.gate.set()
        self.cancelled = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def texts(self) -> list[str]:
        """All texts that were read, in the order of the calls."""
        return [text for _, body in self.asked for text in body.get("input", body.get("prompt", ()))]

    def upstream(self) -> VllmUpstream:
        """This server as an upstream."""
        return VllmUpstream(
            name="gpu",
            base_url=f"http://127.0.0.1:{self.port}/v1",
            api_key=KEY,
            dialects=(Dialect.OPENAI_CHAT,),
            headers={},
            connections=4,
        )

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes([web.post(path, self._answer) for path in _FIELDS])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self.asked.append((request.path, body))
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert set(body) <= _FIELDS[request.path], sorted(set(body) - _FIELDS[request.path])
        salt = body.get("cache_salt", "x")
        assert 0 < len(salt) <= 128
        assert not set(salt) & set("@/\\\0")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.statuses:
            return web.json_response({"error": {"message": "no"}}, status=self.statuses.pop(0))
        if body["model"] != MODEL:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        spoiled = self.spoil(self._made(request.path, body))
        raw = spoiled if isinstance(spoiled, bytes) else orjson.dumps(spoiled)
        return web.Response(body=raw, content_type="application/json")

    def _made(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        texts = body.get("input") or body.get("prompt") or body.get("text_2") or [body["messages"][-1]["content"]]
        assert isinstance(texts, list)
        assert texts
        key = "data" if path in {"/classify", "/pooling", "/score"} else "choices"
        items = [{"index": index, **self._item(path, body, text)} for index, text in enumerate(texts)]
        read = sum(len(text) for text in texts) + sum(len(text) for text in body.get("text_1", ()))
        written = len(texts) if key == "choices" else 0
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return {"id": "x-1", "object": "list", "model": MODEL, key: items, "usage": usage}

    def _item(self, path: str, body: Mapping[str, Any], text: str) -> dict[str, Any]:
        if path == "/classify":
            probs = self._classes(text, is_logit=not body["use_activation"])
            return {"label": "LABEL_1", "probs": probs, "num_classes": len(probs)}
        if path == "/pooling":
            parts = text.split(TAG)[:-1]
            heads = [TAG.join(parts[: number + 1]) for number in range(len(parts))]
            return {"object": "pooling", "data": [self._classes(head, is_logit=False) for head in heads]}
        if path == "/score":
            return {"object": "score", "score": self._likely(text)}
        likely = self._likely(text)
        if body.get("echo"):
            return {"text": text, "finish_reason": "length", "logprobs": self._read(text)}
        if path == "/v1/completions":
            top = {" +": math.log(likely), "-": math.log(1 - likely), "the": -9.0}
            return {"text": "+", "finish_reason": "length", "logprobs": {"tokens": ["+"], "top_logprobs": [top]}}
        content = [
            {"token": self.says, "logprob": -0.1, "top_logprobs": [
                {"token": "Yes", "logprob": math.log(likely)}, {"token": "No", "logprob": math.log(1 - likely)},
            ]}
        ]  # fmt: skip
        logprobs = {"content": content} if body.get("logprobs") else None
        message = {"role": "assistant", "content": self.says}
        return {"message": message, "finish_reason": "stop", "logprobs": logprobs}

    def _read(self, text: str) -> dict[str, Any]:
        """Each word with the blanks after it is a token; one that makes the text less likely is as unlikely itself."""
        tokens = re.findall(r"\S+\s*", text)
        heads = ["".join(tokens[:number]) for number in range(len(tokens) + 1)]
        logprobs = [math.log(self._likely(after) / self._likely(before)) for before, after in pairwise(heads)]
        return {"tokens": ["<s>", *tokens], "token_logprobs": [None, *logprobs], "text_offset": [0] * len(heads)}

    def _classes(self, text: str, *, is_logit: bool) -> list[float]:
        likely = self._likely(text)
        return [math.log(1 - likely), math.log(likely)] if is_logit else [1 - likely, likely]
