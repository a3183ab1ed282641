"""The reasoners behind a real vLLM: what the searches and their measurements rely on."""

from __future__ import annotations

import asyncio
import statistics
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.reasoner.measure import Outcome, measure
from tests.reasoner.prompts import CONTEXT_TOKENS, encode, messages, prompt, prompt_ids
from tests.reasoner.tasks import fresh, is_right
from tests.vllm.servers import CACHE_BLOCK_TOKENS, Vllm

pytestmark = pytest.mark.vllm

_ENOUGH_TOKENS = 800
_GIVE_UP_S = 30


def _complete(server: Vllm, asks: list[int] | str, **more: Any) -> dict[str, Any]:
    asked = {"model": server.model, "prompt": asks, "temperature": 0, "return_token_ids": True, **more}
    response = httpx.post(f"{server.base_url}/completions", json=asked, timeout=60)
    choice: dict[str, Any] = response.raise_for_status().json()["choices"][0]
    return choice


def _outcomes(server: Vllm, operations: int) -> list[Outcome]:
    return asyncio.run(measure(server, fresh("test", operations, 100, seed=11), 8, seed=11))


def _pass_at(outcomes: list[Outcome], draws: int) -> float:
    return statistics.fmean(each.pass_at(draws) for each in outcomes)


def test_harder_problems_are_solved_less_often(small: Vllm) -> None:
    """On fresh problems pass@1 falls from each difficulty to the next, and eight draws win much of it back."""
    outcomes = [_outcomes(small, operations) for operations in (2, 5, 12)]
    once = [_pass_at(each, 1) for each in outcomes]
    assert all(harder < easier - 0.03 for easier, harder in pairwise(once)), once
    assert all(_pass_at(each, 8) > _pass_at(each, 1) + 0.1 for each in outcomes), once


def test_the_large_reasoner_is_the_better_one(small: Vllm, large: Vllm) -> None:
    """On the same hard problems one draw of the large reasoner is right clearly more often than one of the small."""
    assert _pass_at(_outcomes(large, 8), 1) > _pass_at(_outcomes(small, 8), 1) + 0.3


def test_greedy_solutions_of_the_large_reasoner_are_mostly_right(large: Vllm) -> None:
    """Without chance the large reasoner solves most problems of eight operations."""
    chosen = fresh("test", 8, 20, seed=31)
    right = [is_right(each, _complete(large, prompt_ids(each), max_tokens=150)["text"]) for each in chosen]
    assert sum(right) >= 15


def test_steps_continue_by_token_ids_without_drift(large: Vllm) -> None:
    """A solution drawn step by step, each from the ids so far, is the solution drawn at once, token by token."""
    ids = prompt_ids(fresh("test", 4, 1, seed=5)[0])
    whole = _complete(large, ids, max_tokens=200)
    assert whole["finish_reason"] == "stop"
    assert whole["prompt_token_ids"] == ids
    written: list[int] = []
    steps: list[str] = []
    while not steps or steps[-1].endswith("\n"):
        step = _complete(large, ids + written, max_tokens=100, stop=["\n"], include_stop_str_in_output=True)
        assert step["prompt_token_ids"] == ids + written
        assert (step["stop_reason"] == "\n") == step["text"].endswith("\n")
        written += step["token_ids"]
        steps.append(step["text"])
    assert len(steps) == 5
    assert written == whole["token_ids"]
    assert "".join(steps) == whole["text"]


def test_a_chat_is_tokenized_as_the_code_says(small: Vllm) -> None:
    """The server renders a chat to the very token ids that the code computes without it."""
    problem = fresh("test", 6, 1, seed=1)[0]
    asked = {"model": small.model, "messages": messages(problem)}
    answer = httpx.post(f"{small.address}/tokenize", json=asked, timeout=60).raise_for_status().json()
    assert answer["tokens"] == prompt_ids(problem)
    assert answer["max_model_len"] == CONTEXT_TOKENS


def test_a_chat_a_text_and_token_ids_are_the_same_prompt(small: Vllm) -> None:
    """At temperature 0 the three ways of asking a problem are answered alike."""
    problem = fresh("test", 2, 1, seed=9)[0]
    by_ids, by_text = (_complete(small, each, max_tokens=100) for each in (prompt_ids(problem), prompt(problem)))
    assert by_text["prompt_token_ids"] == by_ids["prompt_token_ids"] == prompt_ids(problem)
    assert by_text["text"] == by_ids["text"] == _chat(small, *messages(problem))


@pytest.mark.parametrize(
    "chat",
    [
        [("system", "Be brief."), ("user", "Q:12 +34")],
        [("user", "Q:12 +34"), ("assistant", "12+34=46\nA:46"), ("user", "Check the answer above.\n\nVerdict: …?")],
        [("user", "Do not answer yet. 列出 😀"), ("user", "Q:12 +34")],
        [("user", "Q:12 +34"), ("assistant", "12+34=")],
    ],
)
def test_any_chat_is_answered(small: Vllm, chat: list[tuple[str, str]]) -> None:
    """Critiques, plans, characters outside the vocabulary: the answer may be nonsense, the server answers."""
    assert isinstance(_chat(small, *({"role": role, "content": content} for role, content in chat)), str)


def _chat(server: Vllm, *chat: Any) -> str:
    asked = {"model": server.model, "messages": chat, "temperature": 0, "max_tokens": 100}
    response = httpx.post(f"{server.base_url}/chat/completions", json=asked, timeout=60)
    content: str = response.raise_for_status().json()["choices"][0]["message"]["content"]
    return content


def test_the_shared_beginning_is_read_from_the_cache(small: Vllm) -> None:
    """Other problems' prompts read every whole block of what all prompts begin with from the cache."""
    chosen = [*fresh("test", 8, 6, seed=21)]
    shared = len(prompt_ids(chosen[0])) - len(encode(chosen[0].question + "\n"))
    _complete(small, prompt_ids(chosen[0]), max_tokens=1)
    asked, read = small.metric("vllm:prefix_cache_queries_total"), small.metric("vllm:prefix_cache_hits_total")
    for problem in chosen[1:]:
        _complete(small, prompt_ids(problem), max_tokens=1)
    lengths = [len(prompt_ids(problem)) for problem in chosen[1:]]
    assert small.metric("vllm:prefix_cache_queries_total") - asked == sum(lengths)
    blocks = shared // CACHE_BLOCK_TOKENS
    assert small.metric("vllm:prefix_cache_hits_total") - read >= len(lengths) * blocks * CACHE_BLOCK_TOKENS


def test_an_abandoned_request_leaves_the_engine(small: Vllm) -> None:
    """Closing the connection ends the work: the running count falls to 0 long before all tokens are written."""
    before = small.metric("vllm:generation_tokens_total")
    asked = {"model": small.model, "prompt": prompt_ids(fresh("test", 2, 1, seed=2)[0]), "stream": True}
    asked |= {"max_tokens": _ENOUGH_TOKENS, "ignore_eos": True, "temperature": 1}
    with httpx.stream("POST", f"{small.base_url}/completions", json=asked, timeout=60) as response:
        next(response.iter_lines())
        assert small.metric("vllm:num_requests_running") == 1
    _wait_until_idle(small)
    assert small.metric("vllm:generation_tokens_total") - before < _ENOUGH_TOKENS


def _wait_until_idle(server: Vllm) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while server.metric("vllm:num_requests_running") or server.metric("vllm:num_requests_waiting"):
        assert time.monotonic() < deadline
