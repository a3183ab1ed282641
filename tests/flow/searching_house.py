"""A house whose arms search on a stand-in for a vLLM, with a verifier that the test scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.model import Model
from gateway.domain.pricing import per_mtok
from gateway.domain.usage import Usage
from gateway.domain.verification import Chain, ModelUse, Problem, Verdict
from gateway.errors import UpstreamFailed
from gateway.flow.house import House, Terms
from gateway.flow.lane import Bounds
from gateway.flow.reply import Reply
from gateway.flow.serve import serve_ask
from gateway.policy.reading import read_policy
from gateway.search.aggregate import Aggregation
from gateway.steering import put_in_force
from tests.flow.scripted import Kept, ScriptedUpstream, arrival, house_of
from tests.upstreams.searched_vllm import MODEL, SearchedVllm

KEY = Key("k1", "app", may_override=True)
ARMS = """
policy: default
arms:
  one: {model: reasoner}
  vote: {model: reasoner, strategy: vote, samples: 4, schedule: staged}
  race: {model: reasoner, strategy: vote, samples: 4, schedule: concurrent, stop: unbeatable}
  best: {model: reasoner, strategy: best_of_n, samples: 4, schedule: concurrent, verifier: prm}
  beam: {model: reasoner, strategy: beam, beams: 2, expand: 2, depth: 6, step: newline, verifier: prm}
  dvts: {model: reasoner, strategy: dvts, beams: 4, groups: 2, depth: 6, step: newline, verifier: prm}
  mcts: {model: reasoner, strategy: mcts, simulations: 8, depth: 6, step: newline, verifier: prm}
  repair: {model: reasoner, strategy: repair, rounds: 2, step: newline, verifier: prm}
  draft: {model: reasoner, strategy: draft, draft: sketch, depth: 6, step: newline, verifier: prm}
  revise: {model: reasoner, strategy: revise}
  decompose: {model: reasoner, strategy: decompose}
  cascade: {cascade: [one, vote], escalate_below: 0.7}
defaults: {arm: race, reference: race, max_cost_usd: 1, fallbacks: [one]}
"""


@dataclass(slots=True)
class ScriptedVerifier:
    """Satisfies :class:`gateway.search_ports.Verifier`: ``judges`` scores each step of a chain."""

    judges: Callable[[str], float]
    name: str = "prm"
    aggregation: Aggregation = Aggregation.LAST
    is_logit: bool = False
    model: str | None = MODEL
    scores_steps: bool = True
    most_readings: int = 1
    most_output_tokens: int = 0
    fails: bool = False
    seen: list[tuple[Problem, Chain]] = field(default_factory=list)

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        """A score for each step, at the price of ten tokens."""
        self.seen.append((problem, chain))
        if self.fails:
            raise UpstreamFailed("the verifier is away", is_unbilled=True)
        return Verdict(tuple(map(self.judges, chain.steps)), (ModelUse(MODEL, Usage(input_tokens=10)),))


def searching_house(
    server: SearchedVllm, kept: Kept, *, verifier: ScriptedVerifier | None = None, stores_text: bool = False
) -> House:
    """A house with the model ``reasoner`` at the stand-in, and one arm for each strategy."""
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT), kept, stores_text=stores_text)
    price = per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(2))
    models: Mapping[str, Model] = {name: Model(name, "gpu", MODEL, price, 2048, 64) for name in (MODEL, "sketch")}
    verifiers = {"prm": verifier or ScriptedVerifier(lambda _step: 0.5)}
    defaults = replace(house.catalog.defaults, vllm_upstreams=frozenset({"gpu"}))
    house.catalog = replace(
        house.catalog,
        models=models,
        upstreams={"gpu": server.upstream()},
        terms={"gpu": Terms(9, 9, 1, is_openai=False, bounds=Bounds(64, 64), is_vllm=True)},
        policies=put_in_force({"default": read_policy("default", ARMS)}, models, defaults, verifiers),
        defaults=defaults,
        verifiers=verifiers,
    )
    return house


async def ask(
    house: House, arm: str, *, is_stream: bool = False, dialect: Dialect = Dialect.OPENAI_CHAT, **members: Any
) -> Reply:
    """The answer of one arm; of ``auto``, of that which the policy decides on: ``race``."""
    model = arm if arm == "auto" else f"arm:{arm}"
    made = arrival(dialect, is_stream=is_stream, model=model, **members).ask
    return await serve_ask(replace(made, model=model, started=house.clock.monotonic()), KEY, house)
