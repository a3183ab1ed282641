"""A server that answers ``/v1/completions`` and chats as vLLM does, with a model that errs at random.

A token is a character. The model writes three steps, each good or bad by the request's seed, and then an
answer: right if no step of the whole, the given prefix included, is bad.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from aiohttp import web

from tests.upstreams.listening import ProviderServer

END = 3
STEPS = 3
BAD_SHARE = 0.3
QUESTION_ENDS = "?\n"


class CompletionsServer(ProviderServer):
    """It stops answering after ``answers`` answers, until released, and breaks off the first ``broken`` calls.

    ``shift`` makes its tokens others than those of a server without it.
    """

    def __init__(self, answers: int | None = None, broken: int = 0, shift: int = 0) -> None:
        super().__init__()
        self._shift = shift
        self._left = answers
        self._broken = broken
        self._released = asyncio.Event()
        self.asked: list[tuple[str, int | None]] = []
        """What was asked to go on from, and the seed."""
        self.usage: list[tuple[int, int]] = []
        """Tokens of every answer: of the prompt, and written."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/completions", self._completions),
            web.post("/v1/chat/completions", self._chat),
        ]

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        return self.send_json({"error": {"message": "no such path"}}, {}, status=404)

    def release(self) -> None:
        """Answer again."""
        self._left = None
        assert self._thread is not None
        self._thread.run(self._set())

    async def _set(self) -> None:
        self._released.set()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await self.record(request))
        prompt = "".join(f"{each['content']}\n" for each in body["messages"])
        choice = {"index": 0, "message": {"role": "assistant", "content": "g"}, "finish_reason": "length"}
        usage = self._usage(len(prompt), 1)
        answer = {"choices": [choice], "prompt_token_ids": self._ids(prompt), "usage": usage}
        return await self._send(request, (prompt, None), answer)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await self.record(request))
        given = body["prompt"]
        prompt = given if isinstance(given, str) else "".join(map(chr, given))
        if len(prompt) > 500:
            fault = {"message": "This model's maximum context length is 500 tokens.", "type": "BadRequestError"}
            return self.send_json({"error": fault}, {}, status=400)
        pieces = [*_written(prompt, body.get("seed", 0)), "</s>"]
        is_cut = len(pieces) > body["max_tokens"]
        pieces = pieces[: body["max_tokens"]]
        ids = [END if piece == "</s>" else ord(piece) for piece in pieces]
        choice = {
            "index": 0,
            "text": "".join(pieces).removesuffix("</s>"),
            "finish_reason": "length" if is_cut else "stop",
            "token_ids": ids,
            "prompt_token_ids": self._ids(prompt),
            "logprobs": {"tokens": pieces} if "logprobs" in body else None,
        }
        usage = self._usage(len(prompt), len(pieces))
        return await self._send(request, (prompt, body.get("seed")), {"choices": [choice], "usage": usage})

    def _ids(self, text: str) -> list[int]:
        return [ord(character) + self._shift for character in text]

    def _usage(self, read: int, written: int) -> dict[str, int]:
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    async def _send(
        self, request: web.Request, asked: tuple[str, int | None], answer: dict[str, Any]
    ) -> web.StreamResponse:
        self.asked.append(asked)
        if self._broken:
            self._broken -= 1
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPInternalServerError
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                await self._released.wait()
        self.usage.append((answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]))
        return self.send_json(answer, {})


def _written(prompt: str, seed: int) -> str:
    """What the model writes after a prompt, which may hold steps already."""
    begun = prompt.partition(QUESTION_ENDS)[2]
    chance = random.Random(seed)
    steps = ["bad\n" if chance.random() < BAD_SHARE else "good\n" for _ in range(STEPS - begun.count("\n"))]
    whole = begun + "".join(steps)
    return "".join(steps) + ("A:0" if "bad" in whole else "A:1")
