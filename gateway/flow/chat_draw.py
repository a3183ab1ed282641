"""Draws that are whole answers to a conversation: what any model can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.dialects.append_turns import with_turns
from gateway.dialects.codec import Codec, StreamReader
from gateway.dialects.estimate import BYTES_PER_TOKEN
from gateway.dialects.json_bytes import loads, splice
from gateway.dialects.sse import SseEvent
from gateway.dialects.think_tags import TagReader, split_answer
from gateway.domain.chat import Answer, Dialect, Refusal, StopReason, Text
from gateway.domain.events import Delta, Failed, Finished, PartKind, PartStarted, Stopped, Used
from gateway.domain.money import Usd
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamFailed
from gateway.flow.line import Line, Sending, Spent
from gateway.flow.route import Route, limit_field
from gateway.search.protocol import Launch
from gateway.search.steps import Boundary, split

_CUT: Final = (StopReason.MAX_TOKENS, StopReason.CONTEXT_FULL)
_READABLE: Final = (PartKind.TEXT, PartKind.REFUSAL)


@dataclass(frozen=True, slots=True)
class Written:
    """What a draw wrote: its visible text, and its tokens with those of its thinking."""

    text: str
    tokens: int
    is_truncated: bool
    ends_step: bool = False
    """Whether it stopped at the end of a step and can be continued."""
    mean_logprob: float | None = None


class ChatWriter:
    """Draws from one model by its route: the client's request as that model is asked, with what a draw changes.

    ``prompt_tokens`` is None where the model's server does not tell before it answers.
    """

    def __init__(
        self,
        line: Line,
        route: Route,
        *,
        prompt_tokens: int | None,
        is_streamed: bool,
        takes_temperature: bool,
        salt: str,
    ) -> None:
        self._line = line
        self._prompt_tokens = prompt_tokens
        self._route = route
        self._codec: Codec = line.exchange.house.codecs[route.dialect]
        self._is_streamed = is_streamed
        self._takes_temperature = takes_temperature
        self._salt = salt
        self._body: Mapping[str, Any] = loads(route.body)

    async def write(
        self, launch: Launch, *, ceiling: Usd, boundary: Boundary, spent: Spent, on_step: Callable[[str, int], None]
    ) -> Written:
        """One answer. ``on_step`` hears the text so far, and its tokens, at each step of one that is reported."""
        is_streamed = self._is_streamed or launch.reports_steps
        sending = self._sending(launch, ceiling, is_streamed=is_streamed)
        if not is_streamed:
            document = await self._line.whole(sending, spent, self._codec.find_usage)
            return self._read(self._codec.read_answer(document))
        reader: StreamReader = self._codec.reader()
        if self._route.tags is not None:
            reader = TagReader(reader, self._route.tags)
        following = _Following(reader, boundary if launch.reports_steps else None, on_step, sending.prompt_tokens)
        await self._line.streamed(sending, spent, following.take, following.usage)
        return following.written()

    def _read(self, answer: Answer) -> Written:
        if self._route.tags is not None:
            answer = split_answer(answer, self._route.tags)
        text = "".join(part.text for part in answer.parts if isinstance(part, Text | Refusal))
        return Written(text, answer.usage.output_tokens, answer.stop in _CUT)

    def _sending(self, launch: Launch, ceiling: Usd, *, is_streamed: bool) -> Sending:
        dialect, terms = self._route.dialect, self._line.terms
        limit = limit_field(dialect, is_openai=terms.is_openai)
        changes: dict[str, Any] = {limit: launch.max_tokens}
        if launch.temperature is not None and self._takes_temperature:
            changes["temperature"] = launch.temperature
        if dialect is Dialect.OPENAI_CHAT:
            changes["seed"] = launch.seed
        shown = dict(changes)
        if launch.turns:
            changes |= with_turns(dialect, self._body, [(turn.speaker, turn.text) for turn in launch.turns])
        if terms.is_vllm:
            changes["cache_salt"] = self._salt
        removals = {"max_tokens", "max_completion_tokens", "stream", "stream_options"} & self._body.keys() - {limit}
        if is_streamed:
            removals -= {"stream", "stream_options"}
            changes["stream"] = shown["stream"] = True
            if dialect is Dialect.OPENAI_CHAT:
                changes["stream_options"] = {"include_usage": True}
        return Sending(
            path=self._route.path,
            dialect=dialect,
            body=splice(self._route.body, changes, removals=removals),
            requested={**self._route.requested, "draw": launch.draw},
            sent={**self._route.sent, **shown},
            ceiling=ceiling,
            prompt_tokens=self._prompt_tokens or _known_prompt(self._line, self._route),
            max_tokens=launch.max_tokens,
        )


def _known_prompt(line: Line, route: Route) -> int:
    """The prompt's tokens as an earlier call to the same model counted them, else by its bytes."""
    counted = [
        call.usage.prompt_tokens
        for call in line.exchange.calls
        if call.usage is not None and call.model == line.model.upstream_name
    ]
    return counted[0] if counted else len(route.body) // BYTES_PER_TOKEN


@dataclass(slots=True)
class _Following:
    """A stream on its way: its text so far, and at which step it is."""

    reader: StreamReader
    boundary: Boundary | None
    on_step: Callable[[str, int], None]
    prompt_tokens: int
    _texts: set[int] = field(default_factory=set)
    _pieces: list[str] = field(default_factory=list)
    _deltas: int = 0
    _usage: Usage | None = None
    _stop: StopReason = StopReason.END
    _steps: int = 0
    _is_done: bool = False

    def take(self, event: SseEvent) -> bool:
        """Read an event; whether it was the last."""
        for happening in self.reader.feed(event):
            match happening:
                case Delta(index, text):
                    self._deltas += 1
                    if index in self._texts:
                        self._pieces.append(text)
                        self._look_for_step(text)
                case PartStarted(index, kind) if kind in _READABLE:
                    self._texts.add(index)
                case Stopped(reason):
                    self._stop = reason
                case Used(usage):
                    self._usage = usage
                case Failed(_, kind):
                    raise UpstreamFailed(f"the upstream reported an error in its stream ({kind or 'error'})")
                case Finished():
                    self._is_done = True
                    return True
                case _:
                    pass
        return False

    def usage(self) -> Usage | None:
        """The provider's counts; of a stream that ended early, a count of ours."""
        if self._is_done:
            return self._usage
        if self._usage is not None:
            return self._usage.cut_short(self._deltas)
        if not self._deltas:
            return None
        return Usage(input_tokens=self.prompt_tokens, output_tokens=self._deltas, source=UsageSource.ESTIMATED)

    def written(self) -> Written:
        """The whole answer."""
        tokens = self._usage.output_tokens if self._usage is not None else self._deltas
        return Written("".join(self._pieces), tokens, self._stop in _CUT)

    def _look_for_step(self, text: str) -> None:
        stop = None if self.boundary is None else self.boundary.stop
        if self.boundary is None or stop is None or stop[-1] not in text:
            return
        whole = "".join(self._pieces)
        self._pieces = [whole]
        # The last step is still being written.
        ended = len(split(whole, self.boundary)) - 1
        if ended > self._steps:
            self._steps = ended
            self.on_step(whole, self._deltas)
