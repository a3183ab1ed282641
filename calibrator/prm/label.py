"""Labelling: chains of every item, completions of every prefix of them, each written down as it comes.

Prefixes may be completed by another model than the one whose chains they are, of the same tokens: a stronger
completer makes labels that vary less, since it seldom fails where the prefix is right (Math-Shepherd,
arXiv 2312.08935, section 5).

What fails for good stops the run; what was under way then is still waited for, written down and paid.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, count, islice
from typing import Any, Final, Literal, TypeVar

from calibrator.prm.completions import Completion, Completions, Spent
from calibrator.prm.items import Item
from calibrator.prm.labels import Chain, LabelFile, name_of, row_of
from calibrator.prm.purse import Purse
from calibrator.prm.rollouts import still_wanted
from gateway.domain.money import Usd, show
from gateway.errors import ConfigurationError, PonderError, UpstreamError, UpstreamRefused, UpstreamTimedOut
from gateway.search.steps import Boundary, Mark, split

_Answer = TypeVar("_Answer")

_TRIES: Final = 3
"""How often a call is made that failed and may have been charged; each time counts in full."""

_CHAINS_SHARE: Final = 0.3
"""About the part of an item's work that drawing its chains is, for the progress shown."""


@dataclass(frozen=True, slots=True)
class Method:
    """How labels are drawn. ``max_tokens`` is that of a whole answer, its completed prefix included."""

    chains: int
    per_prefix: int
    boundary: Boundary
    max_tokens: int
    seed: int
    is_adaptive: bool = True


class Labelling:
    """One run over some items. ``completer`` goes on from prefixes; ``advance`` is told of progress, in items."""

    def __init__(
        self,
        completions: Completions,
        completer: Completions,
        labels: LabelFile,
        method: Method,
        purse: Purse,
        *,
        concurrency: int,
        advance: Callable[[float], None],
    ) -> None:
        self._completions = completions
        self._completer = completer
        self._labels = labels
        self._method = method
        self._purse = purse
        self._places = asyncio.Semaphore(concurrency)
        self._workers = concurrency
        self._advance = advance
        self._fault: PonderError | None = None
        self.refused: list[str] = []
        """Items that the model's server refused: too long, as a rule."""

    async def run(self, items: Sequence[Item]) -> None:
        """Label them all. Raises BudgetExhausted at the spending cap, and UpstreamError where a server fails."""
        if self._completer is not self._completions:
            await self._check_tokens(items)
        left = iter(items)
        await _all(self._work(left) for _ in range(self._workers))

    async def _work(self, left: Iterator[Item]) -> None:
        for item in left:
            try:
                await self._item(item)
            except UpstreamRefused:
                self.refused.append(item.id)

    async def _item(self, item: Item) -> None:
        prompt = self._labels.log.prompts.get(item.id) or await self._tokens(item, self._completions, "prompt")
        await _all(self._chain(item, prompt, number) for number in range(self._method.chains))
        chains = [self._labels.log.chains[item.id, number] for number in range(self._method.chains)]
        prefixes = {
            chain.ids[:end]: "".join(chain.steps[:number])
            for chain in chains
            for number, end in enumerate(chain.ends[:-1], 1)
        }
        share = (1 - _CHAINS_SHARE) / max(len(prefixes), 1)
        await _all(self._prefix(item, prompt, ids, text, share) for ids, text in prefixes.items())
        if not prefixes:
            self._advance(share)

    async def _check_tokens(self, items: Iterable[Item]) -> None:
        """Raises ConfigurationError where the completer reads the first item that is not refused as other tokens."""
        for item in items:
            try:
                read = [await self._tokens(item, each, "check") for each in (self._completions, self._completer)]
            except UpstreamRefused:
                continue
            if read[0] != read[1]:
                raise ConfigurationError(
                    "the completer reads a prompt as other tokens than the model that answers it; "
                    "it must have the same tokenizer and chat template"
                )
            return

    async def _tokens(self, item: Item, reader: Completions, kind: Literal["prompt", "check"]) -> tuple[int, ...]:
        async def ask() -> tuple[tuple[int, ...], Spent]:
            return await reader.tokenize(item.prompt)

        def row(answer: tuple[tuple[int, ...], Spent]) -> Mapping[str, Any]:
            return {"kind": kind, "item": item.id, "ids": answer[0], **_spent(answer[1])}

        ids, _ = await self._call(item, reader.prompt_ceiling(item.prompt), ask, row)
        return ids

    async def _chain(self, item: Item, prompt: tuple[int, ...], number: int) -> None:
        if (item.id, number) not in self._labels.log.chains:
            await self._go_on(
                item,
                self._completions,
                prompt,
                lambda written: {**row_of(self._as_chain(item, number, written)), **_spent(written.spent)},
                max_tokens=self._method.max_tokens,
                seed=seed_of(self._method.seed, item.id, "", number),
            )
        self._advance(_CHAINS_SHARE / self._method.chains)

    def _as_chain(self, item: Item, number: int, written: Completion) -> Chain:
        steps, ends = cut(written, self._method.boundary)
        answer = item.grader.answer(written.text, is_cut=written.is_truncated)
        return Chain(
            item=item.id,
            number=number,
            question=item.question,
            steps=tuple(steps),
            is_right=item.grader.is_right(answer, item.answer),
            answer=answer,
            difficulty=item.difficulty,
            tokens=len(written.ids),
            ids=written.ids,
            ends=tuple(ends),
        )

    async def _prefix(self, item: Item, prompt: tuple[int, ...], ids: tuple[int, ...], text: str, share: float) -> None:
        whole = (*prompt, *ids)
        name = name_of(whole)
        room = max(1, self._method.max_tokens - len(ids))

        def row(number: int, written: Completion) -> Mapping[str, Any]:
            answer = item.grader.answer(text + written.text, is_cut=written.is_truncated)
            is_right = item.grader.is_right(answer, item.answer)
            place = {"kind": "draw", "item": item.id, "prefix": name, "number": number}
            return {**place, "is_right": is_right, **_spent(written.spent)}

        async def draw(number: int) -> None:
            seed = seed_of(self._method.seed, item.id, name, number)
            await self._go_on(
                item, self._completer, whole, lambda written: row(number, written), max_tokens=room, seed=seed
            )

        while wanted := still_wanted(
            self._labels.log.rollouts(item.id, name), self._method.per_prefix, is_adaptive=self._method.is_adaptive
        ):
            known = self._labels.log.draws.get((item.id, name), {})
            await _all([draw(number) for number in islice((each for each in count() if each not in known), wanted)])
        self._advance(share)

    async def _go_on(
        self,
        item: Item,
        writer: Completions,
        ids: Sequence[int],
        row: Callable[[Completion], Mapping[str, Any]],
        *,
        max_tokens: int,
        seed: int,
    ) -> None:
        async def ask() -> Completion:
            return await writer.go_on(ids, max_tokens=max_tokens, seed=seed)

        await self._call(item, writer.ceiling(len(ids), max_tokens), ask, row)

    async def _call(
        self,
        item: Item,
        most: Usd,
        ask: Callable[[], Awaitable[_Answer]],
        row: Callable[[_Answer], Mapping[str, Any]],
    ) -> _Answer:
        """Make a call; a fault that is not the item's own ends the run, and no other call begins."""
        try:
            return await self._paid(item, most, ask, row)
        except UpstreamRefused:
            raise
        except PonderError as fault:
            self._fault = self._fault or fault
            raise

    async def _paid(
        self,
        item: Item,
        most: Usd,
        ask: Callable[[], Awaitable[_Answer]],
        row: Callable[[_Answer], Mapping[str, Any]],
    ) -> _Answer:
        """Make a call within the cap, and write down what came of it before anything else happens."""
        for left in reversed(range(_TRIES)):
            async with self._places, self._purse.hold(most):
                if self._fault is not None:
                    raise self._fault
                try:
                    answer = await ask()
                except UpstreamError as fault:
                    if not fault.is_unbilled:
                        self._labels.append({"kind": "lost", "item": item.id, "usd": show(most)})
                    if not left or fault.is_unbilled or not (fault.is_retryable or isinstance(fault, UpstreamTimedOut)):
                        raise
                else:
                    self._labels.append(row(answer))
                    return answer
        raise AssertionError("the last try returns or raises")


def seed_of(seed: int, item: str, prefix: str, number: int) -> int:
    """The seed of one draw: the same draw of the same run always has the same."""
    digest = blake2b(f"{seed}\n{item}\n{prefix}\n{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1


def cut(written: Completion, boundary: Boundary) -> tuple[list[str], list[int]]:
    """The steps of a completion, and the number of tokens at which each ends; a step ends where a token does.

    Where it is not known which token stands where in the text, the whole is one step.
    """
    ends = [end for end in sorted(set(_ends(written, boundary))) if end < len(written.ids)]
    places = [written.text_ends[end - 1] for end in ends]
    pieces = [written.text[start:end] for start, end in zip([0, *places], [*places, None], strict=True)]
    return pieces, [*ends, len(written.ids)]


def _ends(written: Completion, boundary: Boundary) -> Iterator[int]:
    """The numbers of tokens after which a step ends; the last step's may be among them."""
    if not written.text_ends:
        return
    if boundary.mark is Mark.TOKENS:
        yield from range(boundary.tokens or 1, len(written.ids), boundary.tokens or 1)
        return
    for place in accumulate(map(len, split(written.text, boundary)[:-1])):
        yield bisect_left(written.text_ends, place) + 1


def _spent(spent: Spent) -> dict[str, Any]:
    return {"prompt_tokens": spent.prompt_tokens, "output_tokens": spent.output_tokens, "usd": show(spent.usd)}


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Wait for all of them, and raise the first fault only then: what is under way is paid for and kept."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
