"""A verifier for the test bed: the large reasoner's likelihood of steps, served as vLLM serves reward models.

``python -m tests.bench_search.checker PORT ADDRESS`` answers ``/classify`` with, for each text, the likelihood of its
least likely step, as the vLLM at ADDRESS tells it (``prompt_logprobs``), and ``/pooling`` with that after each step.
It stands in where no reward model has been trained; what it reads is counted like what a reward model reads.
"""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.reasoner.prompts import BEGIN, VOCABULARY, encode

MODEL: Final = "large"
_BEGIN_ID: Final = VOCABULARY.index(BEGIN)
_ADDRESS: Final = web.AppKey("address", str)
_SESSION: Final = web.AppKey("session", aiohttp.ClientSession)
_READ: Final = web.AppKey("read", list[int])


def likelihoods(text: str, logprobs: Sequence[float]) -> list[float]:
    """For each line of a text after its first, which is the question, how likely the least likely so far was."""
    least = 0.0
    found: list[float] = []
    begins = text.find("\n") + 1
    for line in text[begins:].split("\n"):
        ends = begins + len(line)
        least = min(least, math.fsum(logprobs[begins:ends]))
        begins = ends + 1  # what ends a line says nothing of it: the last line of a solution has no such end
        if line:
            found.append(math.exp(least))
    return found


async def _classify(request: web.Request) -> web.Response:
    told, answer = await _told(request)
    data = [
        {"index": number, "label": "right", "probs": [each[-1] if each else 1.0], "num_classes": 1}
        for number, each in enumerate(told)
    ]
    return web.json_response({"object": "list", "data": data, **answer})


async def _pool(request: web.Request) -> web.Response:
    told, answer = await _told(request)
    data = [{"index": number, "data": [[score] for score in each]} for number, each in enumerate(told)]
    return web.json_response({"object": "list", "data": data, **answer})


async def _told(request: web.Request) -> tuple[list[list[float]], dict[str, Any]]:
    """What the model tells of the steps of each text, and the usage that goes with it."""
    asked = await request.json()
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    prompts = [[_BEGIN_ID, *encode(text)] for text in texts]
    body = {"model": MODEL, "prompt": prompts, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    async with request.app[_SESSION].post(f"{request.app[_ADDRESS]}/v1/completions", json=body) as response:
        response.raise_for_status()
        answer = await response.json()
    choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
    told = [
        likelihoods(text, _logprobs(choice, ids)) for text, ids, choice in zip(texts, prompts, choices, strict=True)
    ]
    read = answer["usage"]["prompt_tokens"]
    request.app[_READ][0] += read
    return told, {"usage": {"prompt_tokens": read, "total_tokens": read, "completion_tokens": 0}}


def _logprobs(choice: dict[str, Any], ids: Sequence[int]) -> list[float]:
    """The log-likelihood of every token but the first, of which there is none."""
    told = choice["prompt_logprobs"]
    return [place[str(token)]["logprob"] for place, token in zip(told[1:], ids[1:], strict=True)]


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(text=f"vllm:prompt_tokens_total {request.app[_READ][0]}\n")


async def _health(_request: web.Request) -> web.Response:
    return web.Response()


async def _with_session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        app[_SESSION] = session
        yield


def main(port: int, address: str) -> None:
    """Serve until told to stop."""
    app = web.Application()
    app[_ADDRESS], app[_READ] = address, [0]
    app.cleanup_ctx.append(_with_session)
    app.add_routes(
        [
            web.post("/classify", _classify),
            web.post("/pooling", _pool),
            web.get("/metrics", _metrics),
            web.get("/health", _health),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
