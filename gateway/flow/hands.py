"""The work of one search: its draws by the models that it was given, its scores by their verifiers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.bound import as_usd, attos
from gateway.domain.model import Model
from gateway.domain.record import Result
from gateway.domain.usage import Usage
from gateway.domain.verification import Chain, Problem, Verdict
from gateway.errors import PonderError
from gateway.flow.chat_draw import ChatWriter, Written
from gateway.flow.exchange import Exchange
from gateway.flow.line import Spent
from gateway.flow.token_draw import TokenWriter
from gateway.flow.tree import Tree
from gateway.search.protocol import (
    Cancelled,
    Candidate,
    DrawFailed,
    DrawId,
    Event,
    Finished,
    Launch,
    Scored,
    ScoreFailed,
    StepEnded,
    Terms,
)
from gateway.search.steps import Boundary, split
from gateway.search_ports import Verifier
from gateway.tracing import Attribute

_LEAST_TO_SCORE_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Drawer:
    """A model that draws for a search: how it is asked, and the most that its tokens can cost."""

    model: Model
    writer: ChatWriter | TokenWriter
    terms: Terms


@dataclass(frozen=True, slots=True)
class Scorer:
    """A verifier for a search, with the model whose price its scores have.

    In atto-dollars, at most: ``input_rate`` for each token of ask and answer, all readings of a score together,
    and ``call_cost`` for what it writes.
    """

    verifier: Verifier
    model: Model | None
    input_rate: int
    call_cost: int


class SearchHands:
    """Satisfies :class:`gateway.flow.drive.Hands` with every call on the exchange's record."""

    def __init__(
        self,
        exchange: Exchange,
        drawers: Mapping[str, Drawer],
        scorers: Mapping[str, Scorer],
        *,
        problem: Problem,
        prompt_tokens: int,
        salt: str,
    ) -> None:
        self.tree = Tree()
        self._exchange = exchange
        self._drawers = drawers
        self._scorers = scorers
        self._problem = problem
        self._prompt_tokens = prompt_tokens
        self._boundaries: dict[DrawId, Boundary] = {}
        """Where the steps of each draw end, as its model's arm has it."""
        self._salt = salt
        self.fault: PonderError | None = None
        """Why a draw failed, the latest; where none brings an answer, that is what the client is told."""
        self._texts: dict[DrawId, str] = {}
        self._tokens: dict[DrawId, int] = {}
        """Of whole chains, by the draw that ends them."""
        self._is_whole: set[DrawId] = set()

    async def draw(self, launch: Launch, report: Callable[[Event], None]) -> Event:
        """Draw once; a call that fails, or is cancelled, ends the draw with what it has used."""
        with self._exchange.part("draw", _told_of(launch)) as part:
            event = await self._drawn(launch, report)
            if part is not None:
                part.note({"ponder.draw.end": type(event).__name__})
        return event

    async def _drawn(self, launch: Launch, report: Callable[[Event], None]) -> Event:
        drawer = self._drawers[launch.role]
        self.tree.plant(launch, drawer.model.name)
        self._boundaries[launch.draw] = drawer.terms.boundary
        before, spent = self._before(launch), Spent()
        tokens_before = 0 if launch.prefix is None else self._tokens.get(launch.prefix.draw, 0)
        left = drawer.terms.max_tokens - tokens_before
        if left < 1:
            return Finished(Candidate(launch.draw, "", 0, is_truncated=True))
        if left < launch.max_tokens:
            launch = replace(launch, max_tokens=left)

        def on_step(text: str, tokens: int) -> None:
            self._texts[launch.draw] = before + text
            report(StepEnded(Candidate(launch.draw, text, tokens, cost=spent.cost)))

        try:
            written = await self._write(drawer, launch, before, spent, on_step)
        except asyncio.CancelledError:
            return Cancelled(launch.draw, spent.tokens, spent.cost)
        except PonderError as fault:
            self.fault = fault
            return DrawFailed(launch.draw, spent.tokens, spent.cost)
        self._texts[launch.draw] = before + written.text
        self._tokens[launch.draw] = tokens_before + written.tokens
        candidate = Candidate(
            draw=launch.draw,
            text=written.text,
            tokens=spent.tokens,
            is_truncated=written.is_truncated,
            mean_logprob=written.mean_logprob,
            cost=spent.cost,
        )
        if written.ends_step:
            return StepEnded(candidate)
        self._is_whole.add(launch.draw)
        return Finished(candidate)

    async def score(self, draw: DrawId, verifier: str) -> Event:
        """Have a chain scored. A verifier that fails is told of in the answer's ``degraded``."""
        scorer = self._scorers[verifier]
        chain = Chain(tuple(split(self._texts.get(draw, ""), self._boundaries[draw])), draw in self._is_whole)
        spent = Spent()
        try:
            with self._exchange.part("score", {"ponder.draw": draw, "ponder.verifier": verifier}):
                verdict = await self._verdict(scorer, draw, chain, spent)
        except PonderError as fault:
            self._exchange.house.meter.unscored(verifier)
            self._exchange.remark(f"verifier {verifier} gave no score ({fault.code}); answers were counted instead")
            return ScoreFailed(draw, spent.cost)
        return Scored(draw, verdict.scores, spent.cost)

    def _before(self, launch: Launch) -> str:
        """The text of the chain that a draw continues."""
        if launch.prefix is None:
            return ""
        text = self._texts.get(launch.prefix.draw, "")
        steps = launch.prefix.steps
        return text if steps is None else "".join(split(text, self._boundaries[launch.prefix.draw])[:steps])

    async def _write(
        self, drawer: Drawer, launch: Launch, before: str, spent: Spent, on_step: Callable[[str, int], None]
    ) -> Written:
        read = self._prompt_tokens + len(before.encode()) + sum(len(turn.text.encode()) for turn in launch.turns)
        ceiling = as_usd(drawer.terms.input_rate * read + drawer.terms.output_rate * launch.max_tokens)
        writer, boundary = drawer.writer, drawer.terms.boundary
        if isinstance(writer, TokenWriter):
            return await writer.write(launch, before, ceiling=ceiling, boundary=boundary, spent=spent, on_step=on_step)
        return await writer.write(launch, ceiling=ceiling, boundary=boundary, spent=spent, on_step=on_step)

    async def _verdict(self, scorer: Scorer, draw: DrawId, chain: Chain, spent: Spent) -> Verdict:
        """The verdict, with what it used on record and added to ``spent``."""
        left_s = max(self._exchange.left_s, _LEAST_TO_SCORE_S)
        verifier, model = scorer.verifier, scorer.model
        if model is None:
            return await verifier.score(self._problem, chain, deadline_s=left_s, salt=self._salt)
        exchange = self._exchange
        read = self._prompt_tokens + len(chain.text.encode())
        ceiling = as_usd(scorer.input_rate * read + scorer.call_cost)
        call = exchange.begin_call_to(model, ceiling, {"draw": draw, "verifier": verifier.name}, {})
        try:
            verdict = await verifier.score(self._problem, chain, deadline_s=left_s, salt=self._salt)
        except PonderError as fault:
            spent.cost = attos(exchange.end_call(call, Result.FAILED, error=fault))
            raise
        except asyncio.CancelledError:
            exchange.end_call(call, Result.CANCELLED)
            raise
        if verdict.uses:
            usage = _sum([use.usage for use in verdict.uses])
            spent.cost = attos(exchange.end_call(call, Result.ANSWERED, usage))
        else:
            exchange.withdraw_call(call)
        return verdict


def _told_of(launch: Launch) -> dict[str, Attribute]:
    """A draw as its span tells of it."""
    told: dict[str, Attribute] = {"ponder.draw": launch.draw, "ponder.role": launch.role}
    if launch.prefix is not None:
        told["ponder.draw.parent"] = launch.prefix.draw
    return told


def _sum(usages: list[Usage | None]) -> Usage | None:
    """All of them together; None where one of them is not known."""
    total = Usage()
    for usage in usages:
        if usage is None:
            return None
        total = replace(
            total,
            input_tokens=total.input_tokens + usage.input_tokens,
            cached_tokens=total.cached_tokens + usage.cached_tokens,
            output_tokens=total.output_tokens + usage.output_tokens,
            source=usage.source,
        )
    return total
