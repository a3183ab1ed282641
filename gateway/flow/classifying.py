"""Who says what kind of ask it is: the first of the policy's chain that is sure."""

from __future__ import annotations

from gateway.domain.money import usd
from gateway.domain.prediction import Category, Difficulty, Prediction, Prompt, Source
from gateway.flow.exchange import Exchange
from gateway.flow.house import ActivePolicy

UNKNOWN = Prediction(Category.OTHER, 0.0, Source.LEARNED)


async def predict(exchange: Exchange, policy: ActivePolicy, prompt: Prompt, *, may_ask: bool) -> Prediction:
    """The prediction for a prompt.

    A client's own label counts at once only where its key may override; otherwise it is a mark that
    the policy's rules may know. A model is asked only where it ``may_ask``, and only when those before
    it in the chain are unsure.
    """
    hinted = _hinted(exchange)
    if hinted is not None:
        return hinted
    best = UNKNOWN
    for who in policy.classify.chain:
        if who == "rules":
            found = policy.label(exchange.key, exchange.ask.hints, prompt)
        elif who == "learned":
            found = exchange.house.classify.classify(prompt)
        else:
            found = await _judged(exchange, policy, prompt) if may_ask else None
        if found is not None and found.confidence >= best.confidence:
            best = found
        if best.confidence >= policy.classify.unsure_below:
            break
    return best


async def _judged(exchange: Exchange, policy: ActivePolicy, prompt: Prompt) -> Prediction | None:
    terms = policy.classify.llm
    judge = exchange.house.judge
    if terms is None or judge is None:
        return None
    return await judge.judge(
        exchange.key,
        prompt,
        models=terms.model,
        deadline_s=min(terms.deadline_s, exchange.ask.hints.deadline_s or terms.deadline_s),
        max_cost=usd(terms.max_cost_usd),
    )


def _hinted(exchange: Exchange) -> Prediction | None:
    hints = exchange.ask.hints
    if not exchange.key.may_override or hints.category is None:
        return None
    base = hints.category.partition("/")[0]
    if base not in Category.__members__.values():
        return None
    difficulty = next((each for each in Difficulty if each == hints.difficulty), None)
    return Prediction(hints.category, 1.0, Source.HINT, difficulty=difficulty)
