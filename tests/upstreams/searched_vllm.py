"""A strict stand-in for a vLLM that searches draw from: tokens are characters, and what it writes is the test's own.

It does as vLLM 0.32 does: chat and completions, whole and streamed, stop texts that stay in the output, token
ids, log-probabilities with offsets, and refusals of what does not fit its context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from gateway.adapters.vllm_upstream import VllmUpstream
from gateway.domain.chat import Dialect

MODEL = "reasoner"
CONTEXT_TOKENS = 2048
END = 0
"""The id of the token that ends an answer; every other token's id is its character's code."""
_COMPLETION_FIELDS = {
    "model", "prompt", "max_tokens", "seed", "temperature", "top_p", "stop", "include_stop_str_in_output",
    "return_token_ids", "logprobs", "cache_salt", "priority",
}  # fmt: skip
_CHAT_FIELDS = {
    "model", "messages", "max_tokens", "seed", "temperature", "stream", "stream_options", "cache_salt", "priority",
    "stop",
}  # fmt: skip

Writes = Callable[[str, int], str]
"""What follows a text, to the end of the answer, under a seed."""


class SearchedVllm:
    """``async with SearchedVllm(writes) as server``."""

    def __init__(self, writes: Writes, judges: Callable[[str], float] = lambda _text: 0.5) -> None:
        self.writes = writes
        self.judges = judges
        """How likely a text is right, as ``/classify`` says."""
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        """Every call: its path and its body."""
        self.statuses: list[int] = []
        """The next calls that write are refused with these."""
        self.gate = asyncio.Event()
        """No answer is ended while it is not set; half of a streamed one has been sent by then."""
        self.gate.set()
        self.at_gate = asyncio.Event()
        self.cancelled = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def prompts(self) -> list[str]:
        """The texts that completions were asked to continue."""
        return [_text(body["prompt"]) for path, body in self.asked if path == "/v1/completions"]

    def upstream(self) -> VllmUpstream:
        """This server as an upstream."""
        return VllmUpstream(
            name="gpu",
            base_url=f"http://127.0.0.1:{self.port}/v1",
            api_key=None,
            dialects=(Dialect.OPENAI_CHAT,),
            headers={},
            connections=64,
        )

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.post("/tokenize", self._tokenize),
                web.post("/classify", self._classify),
                web.post("/v1/completions", self._complete),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        if "messages" in body:
            assert set(body) <= {"model", "messages", "add_generation_prompt"}
            text = rendered(body["messages"])
        else:
            assert body["add_special_tokens"] is False
            text = body["prompt"]
        return _json({"tokens": _ids(text), "count": len(text), "max_model_len": CONTEXT_TOKENS})

    async def _classify(self, request: web.Request) -> web.Response:
        body = await self._read(request)
        items = [
            {"index": place, "label": "LABEL_1", "probs": [1 - likely, likely], "num_classes": 2}
            for place, likely in enumerate(map(self.judges, body["input"]))
        ]
        usage = _usage(sum(map(len, body["input"])), 0)
        return _json({"id": "classify-1", "object": "list", "model": MODEL, "data": items, "usage": usage})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        assert set(body) <= _COMPLETION_FIELDS, sorted(set(body) - _COMPLETION_FIELDS)
        refusal = self._refusal(body, len(body["prompt"]))
        if refusal is not None:
            return refusal
        text, finish, stop_reason = self._written(_text(body["prompt"]), body)
        await self._wait()
        ids = [*_ids(text), *([END] if finish == "stop" and stop_reason is None else [])]
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": finish, "stop_reason": stop_reason}
        if body.get("return_token_ids"):
            choice |= {"token_ids": ids, "prompt_token_ids": body["prompt"]}
        if body.get("logprobs") is not None:
            shown = [*text, *([""] if len(ids) > len(text) else [])]
            choice["logprobs"] = {
                "tokens": shown,
                "token_logprobs": [-0.5] * len(ids),
                "text_offset": list(range(len(ids))),
                "top_logprobs": [None] * len(ids),
            }
        return _json(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "model": MODEL,
                "choices": [choice],
                "usage": _usage(len(body["prompt"]), len(ids)),
            }
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        assert set(body) <= _CHAT_FIELDS, sorted(set(body) - _CHAT_FIELDS)
        prompt = rendered(body["messages"])
        refusal = self._refusal(body, len(prompt))
        if refusal is not None:
            return refusal
        text, finish, _ = self._written(prompt, body)
        if body.get("stream"):
            return await self._stream(request, prompt, text, finish)
        await self._wait()
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return _json(
            {
                "id": "chat-1",
                "object": "chat.completion",
                "created": 1,
                "model": MODEL,
                "choices": [choice],
                "usage": _usage(len(prompt), len(text) + 1),
            }
        )

    async def _stream(self, request: web.Request, prompt: str, text: str, finish: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        head = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

        async def send(choices: list[Any], **more: Any) -> None:
            await response.write(b"data: " + orjson.dumps({**head, "choices": choices, **more}) + b"\n\n")

        await send([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for place, character in enumerate(text):
            if place == len(text) // 2:
                await self._wait()
            await send([{"index": 0, "delta": {"content": character}, "finish_reason": None}])
        await send([{"index": 0, "delta": {}, "finish_reason": finish}])
        await send([], usage=_usage(len(prompt), len(text) + 1))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _read(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(await request.read())
        self.asked.append((request.path, body))
        assert body["model"] == MODEL
        return body

    def _refusal(self, body: Mapping[str, Any], prompt_tokens: int) -> web.Response | None:
        if self.statuses:
            return _json({"error": {"message": "no", "code": 1}}, status=self.statuses.pop(0))
        if prompt_tokens + body["max_tokens"] > CONTEXT_TOKENS:
            return _json({"error": {"message": "too long for the context", "code": 400}}, status=400)
        return None

    async def _wait(self) -> None:
        self.at_gate.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _written(self, prompt: str, body: Mapping[str, Any]) -> tuple[str, str, str | None]:
        """The text with its finish and stop reasons: to the first stop text, the token limit, or the end."""
        text = self.writes(prompt, body.get("seed", 0))
        ends = [(text.find(stop) + len(stop), stop) for stop in body.get("stop") or () if stop in text]
        end, stop = min(ends, default=(len(text), None))
        if body["max_tokens"] < end or (stop is None and body["max_tokens"] <= end):
            return text[: body["max_tokens"]], "length", None
        return text[:end], "stop", stop


def rendered(messages: list[Mapping[str, Any]]) -> str:
    """A conversation as this model's template renders it; two turns of one speaker in a row are refused."""
    speakers = [message["role"] for message in messages]
    assert all(before != after for before, after in pairwise(speakers)), speakers
    return "".join(f"<{message['role']}>{message['content']}\n" for message in messages) + "<assistant>"


def _ids(text: str) -> list[int]:
    return [ord(character) for character in text]


def _text(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def _usage(prompt: int, written: int) -> dict[str, Any]:
    cached = prompt // 32 * 32
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _json(document: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
