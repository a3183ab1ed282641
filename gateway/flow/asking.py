"""Questions of our own to a model: served like any request, so that they are held, paid and on record."""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.ask import Ask, Endpoint, Hints, Operation
from gateway.domain.chat import Dialect, Text
from gateway.domain.effort import OFF
from gateway.domain.identity import new_request_id
from gateway.domain.key import Key
from gateway.domain.thinking import Wish
from gateway.errors import Unavailable, UpstreamFailed
from gateway.flow.house import House
from gateway.flow.reply import Whole
from gateway.flow.serve import serve_ask
from gateway.ports import Question
from gateway.tracing import trace_headers

_ENDPOINT = Endpoint("/v1/chat/completions", Dialect.OPENAI_CHAT, Operation.CHAT)
_TAGS = {"ponder": "classifier"}


class HouseAsker:
    """Satisfies :class:`gateway.ports.Asker`: the key pays, and its limits on models do not apply to our question."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def ask(self, key: Key, question: Question) -> str:
        """The answer's text. Raises PonderError."""
        house = self._house
        model = next((each for each in question.models if each in house.catalog.models), None)
        if model is None:
            raise Unavailable(f"none of the models {', '.join(question.models)} is configured")
        body = {
            "model": model,
            "messages": [
                {"role": "system", "content": question.instructions},
                {"role": "user", "content": question.text},
            ],
            "max_tokens": question.max_output_tokens,
            "temperature": 0,
        }
        now = house.clock.now()
        ask = Ask(
            request_id=new_request_id(now),
            endpoint=_ENDPOINT,
            raw=dumps(body),
            body=body,
            model=model,
            is_stream=False,
            headers=trace_headers(),
            hints=Hints(deadline_s=question.deadline_s, max_cost_usd=question.max_cost, tags=_TAGS),
            started_at=now,
            started=house.clock.monotonic(),
        )
        # The request that this is asked for is held next: its key may have one under way at a time.
        async with house.settlements.told_after(ask.request_id):
            reply = await serve_ask(ask, replace(key, scopes=(), policy=None), house, wish=Wish(effort=OFF))
        if not isinstance(reply, Whole):
            raise UpstreamFailed("a question that was not to be streamed was")
        answer = house.codecs[Dialect.OPENAI_CHAT].read_answer(loads(reply.body))
        return "".join(part.text for part in answer.parts if isinstance(part, Text))
