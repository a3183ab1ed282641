"""From a plan whose arm searches to the search: its models and verifiers made ready, its ceilings set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from gateway import search_ports
from gateway.dialects.json_bytes import loads
from gateway.domain.arm import Arm, Strategy
from gateway.domain.bound import attos, cost_bound
from gateway.domain.capabilities import Taken
from gateway.domain.chat import Conversation, Role, Text
from gateway.domain.effort import OFF
from gateway.domain.model import Model
from gateway.domain.prediction import Anchor
from gateway.domain.search_sizes import BY_STEPS, DRIVEN, GROWING, NEEDS_VERIFIER, SIZES
from gateway.domain.verification import Problem
from gateway.errors import Unavailable
from gateway.flow.chat_draw import ChatWriter
from gateway.flow.demand import prompt_bound
from gateway.flow.exchange import Exchange
from gateway.flow.hands import Drawer, Scorer, SearchHands
from gateway.flow.line import Line
from gateway.flow.route import route_to
from gateway.flow.token_draw import TokenWriter
from gateway.flow.tokens import Tokenizer
from gateway.search import configure, entry
from gateway.search.accounts import Accounts
from gateway.search.board import Board, Moves
from gateway.search.cascade import Cascade, Leg, cascade
from gateway.search.protocol import DRAFT, MAIN, Ceilings, Search, Task, Terms, Turn, Verifier, Winner
from gateway.search.schedule import Schedule, schedule_for
from gateway.search.steps import Boundary, boundary_of

_REJECTS: Final = frozenset({"reject_below", "reject_quantile"})
"""What makes a search stop chains on their way."""
_CHOOSES_ANSWERS: Final = frozenset({Strategy.VOTE, Strategy.BEST_OF_N, Strategy.CASCADE})
_SEEDS: Final = 2**31
_LONGEST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A search ready to be driven."""

    search: Search
    hands: SearchHands
    strategy: str
    seed: int
    verifier: str | None


async def undertake(exchange: Exchange) -> Undertaking:
    """The search of the plan's arm. Raises PonderError where a model of it cannot be asked."""
    assert exchange.plan is not None  # noqa: S101  an arm has been decided on
    arm = exchange.plan.arm
    desk = _Desk(exchange)
    await desk.heed_check(arm)
    if arm.strategy is Strategy.CASCADE:
        run = await desk.cascade(arm, "")
    else:
        run = await desk.single(arm, MAIN)
    task = desk.task(arm)
    hands = SearchHands(
        exchange,
        desk.drawers,
        desk.scorers,
        problem=problem_of(exchange.house.codecs[exchange.ask.endpoint.dialect].read_request(exchange.ask.body)),
        prompt_tokens=task.prompt_tokens,
        salt=desk.salt,
    )
    board = Board(Accounts(task))
    verifier = None if task.verifier is None else task.verifier.name
    return Undertaking(run(board, ()), hands, arm.strategy, task.seed, verifier)


def problem_of(conversation: Conversation) -> Problem:
    """What was asked, as verifiers read it."""
    said = [
        (turn.role.value, "".join(part.text for part in turn.parts if isinstance(part, Text)))
        for turn in conversation.turns
    ]
    ours = (Role.SYSTEM.value, Role.DEVELOPER.value)
    system = "\n\n".join(text for speaker, text in said if speaker in ours)
    return Problem(tuple((speaker, text) for speaker, text in said if speaker not in ours), system)


_Run = Callable[[Board, tuple[Turn, ...]], Moves[Winner]]


def _salt(exchange: Exchange) -> str:
    """What keeps caches and remembered scores apart: for each key, and in a calibration for each arm.

    A calibration asks the same of one arm after the other. What the first one left in a cache would make the next
    look cheaper than it is in traffic.
    """
    assert exchange.plan is not None  # noqa: S101  an arm has been decided on
    run = exchange.ask.hints.calibration
    return exchange.house.salts.of(exchange.key.id, *(() if run is None else (run, exchange.plan.arm.name)))


class _Desk:
    """Gathers the models and verifiers of one search, each under the role that it has in it."""

    def __init__(self, exchange: Exchange) -> None:
        self.drawers: dict[str, Drawer] = {}
        self.scorers: dict[str, Scorer] = {}
        self.salt = _salt(exchange)
        self._exchange = exchange
        self._prompt_tokens = 0
        self._calls = 0
        self._asked: str | None = None
        """The verifier that the request itself asks for, which goes before those of the arms."""

    async def heed_check(self, arm: Arm) -> None:
        """Have answers checked as the request asks. Raises PonderError for a check that cannot be made."""
        exchange = self._exchange
        check, graders = exchange.ask.hints.verify, exchange.house.graders
        if check is None or graders is None:
            return
        verifier = await graders.grader_for(check, key=exchange.key, verifiers=exchange.catalog.verifiers)
        if arm.strategy not in _CHOOSES_ANSWERS and not (arm.strategy in NEEDS_VERIFIER and verifier.scores_steps):
            exchange.remark(f"verify not used: {arm.strategy} does not choose between whole answers")
            return
        self._asked = verifier.name
        self.scorers[verifier.name] = self._scorer(verifier, arm)

    async def single(self, arm: Arm, role: str) -> _Run:
        """The search of an arm with a model of its own."""
        parameters = dict(arm.parameters)
        chosen = {name: value for name, value in parameters.items() if name not in DRIVEN}
        strategy = entry(arm.strategy)
        if chosen.get("schedule", "auto") == "auto" and arm.strategy in {Strategy.VOTE, Strategy.BEST_OF_N}:
            chosen["schedule"] = self._schedule(arm).value
        if self._asked is not None and arm.strategy is Strategy.VOTE:
            chosen["weighted"] = True
        self._keep_to_cap(arm, chosen)
        config: Any = configure(arm.strategy, chosen)
        by_steps = arm.strategy in BY_STEPS
        is_cancelled = chosen.get("schedule") == Schedule.CONCURRENT or bool(_REJECTS & chosen.keys())
        await self._add_drawer(role, arm, by_steps=by_steps, is_cancelled=is_cancelled)
        given: dict[str, Any] = {"role": role}
        if arm.strategy is Strategy.DRAFT:
            given["draft_role"] = DRAFT if role == MAIN else f"{role}/{DRAFT}"
            drafter = replace(arm, model=parameters.get("draft"), effort=None, thinking_tokens=None)
            await self._add_drawer(given["draft_role"], drafter, by_steps=True, is_cancelled=True)
        self._verifier_of(arm)
        self._calls += config.calls_at_most
        if arm.strategy is Strategy.GREEDY:
            given["is_scored"] = True  # a leg of a cascade: something depends on how sure its answer is
        return lambda board, turns: strategy.run(board, replace(config, **given, turns=turns))

    async def cascade(self, arm: Arm, within: str) -> _Run:
        """The search of a cascade: its arms in turn, cascades among them."""
        assert self._exchange.policy is not None  # noqa: S101  only a policy has arms
        arms = self._exchange.policy.ready.arms
        legs: list[Leg] = []
        for name in arm.cascade:
            member, role = arms[name].arm, f"{within}{name}"
            is_cascade = member.strategy is Strategy.CASCADE
            run = await (self.cascade(member, f"{role}/") if is_cascade else self.single(member, role))
            legs.append(Leg(name, run, self._verifier_of(member)))
        sure = arm.escalate_below
        assert sure is not None  # noqa: S101  the policy's document has one for every cascade
        config = Cascade(tuple(legs), sure, carries=bool(arm.parameters.get("carries", False)))
        return lambda board, _turns: cascade(board, config)

    def task(self, arm: Arm) -> Task:
        """The search's task, once its models are known."""
        exchange = self._exchange
        return Task(
            ceilings=Ceilings(draws=self._calls, cost=attos(exchange.call_ceiling)),
            terms={role: drawer.terms for role, drawer in self.drawers.items()},
            prompt_tokens=self._prompt_tokens,
            verifier=self._verifier_of(arm),
            seed=_seed(exchange),
            p_success=_predicted(exchange, arm),
        )

    def _keep_to_cap(self, arm: Arm, chosen: dict[str, Any]) -> None:
        """Have no more drawn than the verifier can choose between: of more, the best scored is less often right."""
        verifier = self._asked or arm.verifier
        cap = None if verifier is None else self._exchange.catalog.caps.get(verifier)
        by_score = arm.strategy is Strategy.BEST_OF_N or (arm.strategy is Strategy.VOTE and chosen.get("weighted"))
        if cap is None or not by_score:
            return
        size = "samples" if isinstance(chosen.get("samples"), int) else "max_samples"
        wanted = chosen.get(size, SIZES[arm.strategy]["max_samples"])
        if wanted > cap:
            chosen[size] = cap
            self._exchange.remark(
                f"{arm.strategy}: {wanted} → {cap} samples: more lower the accuracy that verifier {verifier} gives"
            )

    def _schedule(self, arm: Arm) -> Schedule:
        """When the draws are launched, where the arm leaves it open."""
        exchange = self._exchange
        assert arm.model is not None  # noqa: S101  an arm without one is a cascade
        assert exchange.policy is not None  # noqa: S101  only a policy has arms
        model = exchange.catalog.models[arm.model]
        loads = exchange.house.loads
        load = None if loads is None else loads.of(model.upstream)
        learned = exchange.house.latencies.snapshot().of(exchange.policy.ready.name)
        known = learned.find(arm.name, prompt_tokens=0, output_tokens_at_most=None, calls_under_way=1)
        return schedule_for(
            waiting=0.0 if load is None else load.waiting,
            cache_use=0.0 if load is None else load.cache_use,
            left_s=exchange.left_s,
            usual_s=None if known is None else known.total_p95_s,
            may_spare=arm.strategy is Strategy.BEST_OF_N,
        )

    async def _add_drawer(self, role: str, arm: Arm, *, by_steps: bool, is_cancelled: bool) -> None:
        exchange = self._exchange
        assert arm.model is not None  # noqa: S101  an arm without one is a cascade
        model = exchange.catalog.models[arm.model]
        first = exchange.model
        route = await route_to(exchange, model, arm)
        exchange.model = first  # the arm's own: who else draws is on record by its calls
        line = Line(exchange, model, route.upstream)
        limit = self._output_limit(model)
        context, prompt_tokens = model.context_tokens, prompt_bound(exchange.ask.raw, model.context_tokens)
        # Where prompt and answer fit whatever the prompt's tokens are, nobody needs to count them.
        is_counted = line.terms.is_vllm and (by_steps or context is None or prompt_tokens + limit > context)
        writer: ChatWriter | TokenWriter
        if is_counted:
            body = loads(route.body)
            tokenizer = Tokenizer(line, body)
            prompt = await tokenizer.prompt()
            prompt_tokens = len(prompt.ids)
            context = prompt.context_tokens or context
        if context is not None:
            known = prompt_tokens if is_counted else min(prompt_tokens, context // 2)
            limit = max(1, min(limit, context - known))  # where there is no room at all, the server says so
        if by_steps and line.terms.is_vllm:
            writer = TokenWriter(line, route, body, tokenizer, salt=self.salt)
        elif by_steps:
            raise Unavailable(f"arm {arm.name} works by steps, and {model.name} is not at an upstream of kind vllm")
        else:
            writer = ChatWriter(
                line,
                route,
                prompt_tokens=prompt_tokens if is_counted else None,
                is_streamed=is_cancelled or not line.terms.is_vllm,
                takes_temperature=_takes_temperature(model, arm),
                salt=self.salt,
            )
        self._prompt_tokens = max(self._prompt_tokens, prompt_tokens)
        self.drawers[role] = Drawer(
            model, writer, _terms(model, limit, prompt_tokens, boundary_of(dict(arm.parameters)))
        )

    def _output_limit(self, model: Model) -> int:
        exchange = self._exchange
        limit = exchange.plan.ceilings.output_tokens if exchange.plan is not None else None
        most = model.max_output_tokens or exchange.catalog.defaults.default_output_tokens
        return most if limit is None else min(limit, model.max_output_tokens or limit)

    def _verifier_of(self, arm: Arm) -> Verifier | None:
        """What scores the answers of an arm: what the request asks for, else what the arm names."""
        name = self._asked or arm.verifier
        if name is None:
            return None
        if name not in self.scorers:
            verifier = self._exchange.catalog.verifiers.get(name)
            if verifier is None:
                raise Unavailable(f"verifier {name!r} is not configured any more")
            self.scorers[name] = self._scorer(verifier, arm)
        scorer = self.scorers[name]
        verifier = scorer.verifier
        return Verifier(name, verifier.aggregation, verifier.is_logit, scorer.input_rate, scorer.call_cost)

    def _scorer(self, verifier: search_ports.Verifier, arm: Arm) -> Scorer:
        model = None if verifier.model is None else self._exchange.catalog.models[verifier.model]
        if model is None or model.price is None:
            return Scorer(verifier, model, 0, 0)
        rates = cost_bound(model.price, None).at(_LONGEST)
        readings = 1 if arm.strategy in GROWING else verifier.most_readings
        return Scorer(verifier, model, readings * rates.input, verifier.most_output_tokens * rates.output)


def _terms(model: Model, limit: int, prompt_tokens: int, boundary: Boundary) -> Terms:
    """What a draw takes at most; at the dearest tier of the price, whatever tier the client asks for."""
    if model.price is None:
        return Terms(limit, boundary=boundary)
    rates = cost_bound(model.price, None).at(prompt_tokens)
    return Terms(limit, rates.input, rates.output, boundary)


def _takes_temperature(model: Model, arm: Arm) -> bool:
    sampling = model.capability.sampling
    if sampling is Taken.WITHOUT_THINKING:
        if arm.effort is None and arm.thinking_tokens is None:
            return not model.capability.thinks_by_default
        return arm.effort == OFF
    return sampling is Taken.ALWAYS


def _seed(exchange: Exchange) -> int:
    """The client's own seed, else one that its request's id determines."""
    asked = exchange.ask.body.get("seed")
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked % _SEEDS
    return int.from_bytes(blake2b(exchange.ask.request_id.encode(), digest_size=8).digest()) % _SEEDS


def _predicted(exchange: Exchange, arm: Arm) -> float | None:
    """How likely one draw of the arm's model is right: as the anchor that the arm is like, the weak one by default."""
    return None if exchange.prediction is None else exchange.prediction.success.get(arm.like or Anchor.WEAK)
