"""Checks as requests and golden items ask for them: what holds, what is refused, and what it may cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.adapters.graders.grading import LONGEST_TEXT, Graders
from gateway.adapters.graders.sandbox import LONGEST_CODE
from gateway.domain.check import read_check
from gateway.domain.key import Key, Names, Scope
from gateway.domain.verification import Chain, Problem, Verdict
from gateway.errors import Forbidden, InvalidRequest, Unavailable
from gateway.search.aggregate import Aggregation
from gateway.settings import GraderSettings

PROBLEM = Problem((("user", "What is it?"),))
AMPLE_S = 60.0
DOUBLES = "Like this:\n```python\ndef double(n):\n    return 2 * n\n```\nThat is all."


@pytest.fixture
async def graders() -> AsyncIterator[Graders]:
    """Graders with code turned on, ended after the test."""
    graders = Graders(GraderSettings(code=True, code_s=20.0))
    yield graders
    await graders.close()


async def _grade(graders: Graders, document: dict[str, Any], answer: str) -> Verdict:
    return await graders.grade(read_check(document), PROBLEM, answer, deadline_s=AMPLE_S)


class Judge:
    """A configured verifier that calls a model."""

    name = "judge"
    aggregation = Aggregation.LAST
    is_logit = False
    scores_steps = False

    def __init__(self, model: str | None) -> None:
        self.model = model

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        """Half of everything."""
        return Verdict((0.5,), detail={"problem": problem.question, "answer": chain.text, "salt": salt})


@pytest.mark.parametrize(
    ("truth", "answer", "holds"),
    [
        ("1/2", r"Therefore \boxed{\frac{1}{2}}", True),
        ("(x-1)(x+1)", r"Therefore \boxed{x^2-1}", True),
        (42, "The answer is 41.", False),
        (["41", "42"], "The answer is 42.", True),
        ("50%", r"\boxed{0.50}", True),
    ],
)
async def test_plain_math_takes_no_process(graders: Graders, truth: Any, answer: str, holds: bool) -> None:
    """What is plainly equal, and plain numbers that are not, our own equivalence decides."""
    verdict = await _grade(graders, {"kind": "math", "answer": truth}, answer)
    assert verdict == Verdict((float(holds),), detail={"check": "math", "by": "equivalence"})


async def test_a_computer_algebra_decides_the_rest(graders: Graders) -> None:
    """Intervals, relations, matrices, formulas and sets are compared by what they are, the truth first."""
    for truth, answer, holds in (
        ("[0,1)", r"\boxed{[0,1]}", False),
        ("x < 3", r"\boxed{3 > x}", True),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{bmatrix}1\\2\end{bmatrix}}", True),
        ("x+1", r"\boxed{x+2}", False),
        (r"\{1,2,3\}", r"\boxed{1, 2}", False),
    ):
        verdict = await _grade(graders, {"kind": "math", "answer": truth}, answer)
        assert verdict == Verdict((float(holds),), detail={"check": "math", "by": "algebra"}), truth


@pytest.mark.parametrize("answer", ["", "I do not know what to say about this, and so I say nothing of it at all."])
async def test_no_answer_is_a_wrong_one(graders: Graders, answer: str) -> None:
    """A text that answers nothing holds against no truth."""
    for kind in ("math", "exact", "choice"):
        assert (await _grade(graders, {"kind": kind, "answer": "4"}, answer)).scores == (0.0,)


async def test_a_formula_without_end_gives_no_verdict(graders: Graders) -> None:
    """An answer that would take for ever to compute is neither right nor wrong, and holds nobody up for long."""
    check = read_check({"kind": "math", "answer": "10"})
    with pytest.raises(Unavailable, match="checking formulas took longer"):
        await graders.grade(check, PROBLEM, r"\boxed{10^{10^{10^{10}}}}", deadline_s=4.0)
    assert (await _grade(graders, {"kind": "math", "answer": "x<1"}, r"\boxed{1 > x}")).scores == (1.0,)


@pytest.mark.parametrize(
    ("document", "answer", "score"),
    [
        ({"kind": "exact", "answer": "Paris"}, "The answer is Paris.", 1.0),
        ({"kind": "exact", "answer": "Paris"}, "The answer is Rome.", 0.0),
        ({"kind": "choice", "answer": "B"}, r"\boxed{\text{(B)}}", 1.0),
        ({"kind": "choice", "answer": "B"}, "The answer is C.", 0.0),
        ({"kind": "regex", "pattern": r"(?i)^dear \w+,"}, "Dear Ada,\nthank you.", 1.0),
        ({"kind": "regex", "pattern": r"^\d+$"}, "12 3", 0.0),
        ({"kind": "regex", "pattern": "(x+x+)+y"}, "x" * 100_000, 0.0),
        ({"kind": "json_schema", "schema": {"required": ["a"]}}, '```json\n{"a": 1}\n```', 1.0),
        ({"kind": "json_schema", "schema": {"required": ["a"]}}, '{"b": 1}', 0.0),
        ({"kind": "json_schema", "schema": True}, "no JSON", 0.0),
        ({"kind": "json_schema", "schema": True}, '{"a": NaN}', 0.0),
        ({"kind": "json_schema", "schema": True}, "[" * 5_000 + "]" * 5_000, 0.0),
        ({"kind": "json_schema", "schema": {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}}, "1.5", 0.0),
        ({"kind": "json_schema", "schema": {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}}, "15", 1.0),
    ],
)
async def test_rules_hold_or_do_not(graders: Graders, document: dict[str, Any], answer: str, score: float) -> None:
    """Texts, choices, patterns and schemas give 1 or 0 and nothing in between."""
    verdict = await _grade(graders, document, answer)
    assert verdict.scores == (score,)
    assert verdict.detail["check"] == document["kind"]


@pytest.mark.parametrize("kind", ["regex", "json_schema"])
async def test_a_text_that_is_too_long_is_refused_by_rules(graders: Graders, kind: str) -> None:
    """The longest text is held against the rule, and one character more is not."""
    rule: dict[str, Any] = {"pattern": "^"} if kind == "regex" else {"schema": True}
    text = "[" + " " * (LONGEST_TEXT - 2) + "]"
    assert (await _grade(graders, {"kind": kind, **rule}, text)).scores == (1.0,)
    verdict = await _grade(graders, {"kind": kind, **rule}, f"[ {text[1:]}")
    assert verdict == Verdict((0.0,), detail={"check": kind, "why": "too long"})


@pytest.mark.parametrize(
    ("rule", "member", "why"),
    [
        ({"kind": "regex", "pattern": "(a"}, "pattern", "unclosed group"),
        ({"kind": "regex", "pattern": "(?=a)"}, "pattern", "look-around"),
        ({"kind": "regex", "pattern": r"(a)\1"}, "pattern", "backreferences"),
        ({"kind": "regex", "pattern": r"\w{5000}"}, "pattern", "size limit"),
        ({"kind": "json_schema", "schema": {"type": "nothing"}}, "schema", r"\$\.type"),
        ({"kind": "json_schema", "schema": {"$schema": "https://example.org/own"}}, "schema", "no known dialect"),
        ({"kind": "json_schema", "schema": {"$ref": "http://127.0.0.1:9/secret"}}, "schema", "leads nowhere"),
        ({"kind": "json_schema", "schema": {"items": {"$ref": "#/none"}}}, "schema", "leads nowhere"),
    ],
)
async def test_a_rule_that_is_none_is_refused_before_any_answer(
    graders: Graders, rule: dict[str, Any], member: str, why: str
) -> None:
    """The caller learns what is wrong with a pattern or a schema before a model is called."""
    with pytest.raises(InvalidRequest, match=why) as caught:
        await graders.grader_for(read_check(rule))
    assert caught.value.param == f"ponder.verify.{member}"


async def test_a_schema_that_refers_to_itself_for_ever_gives_no_verdict(graders: Graders) -> None:
    """A reference that leads back to itself is undecided, neither right nor wrong."""
    with pytest.raises(Unavailable, match="more memory or nesting"):
        await _grade(graders, {"kind": "json_schema", "schema": {"$ref": "#"}}, "1")


async def test_code_is_run_against_tests(graders: Graders) -> None:
    """The code of the last fence is what runs; the verdict tells how far the tests went."""
    good, bad = "assert double(4) == 8", "assert double(4) == 9"
    verdict = await _grade(graders, {"kind": "code", "tests": good}, DOUBLES)
    detail = {"check": "code", "tests_passed": 1, "tests": 1, "ended": "passed"}
    assert verdict == Verdict((1.0,), detail=detail)
    verdict = await _grade(graders, {"kind": "code", "tests": [good, bad, good]}, DOUBLES)
    assert verdict == Verdict((0.0,), detail=detail | {"tests": 3, "ended": "failed"})
    program = {"kind": "code", "tests": [{"stdin": "4\n", "stdout": "8\n"}]}
    assert (await _grade(graders, program, "```\nprint(2 * int(input()))\n```")).scores == (1.0,)


async def test_code_that_is_too_long_is_not_run(graders: Graders) -> None:
    """Code at its limit runs, and one character more is wrong without having run."""
    code = "#" * LONGEST_CODE
    assert (await _grade(graders, {"kind": "code", "tests": "pass"}, code)).scores == (1.0,)
    verdict = await _grade(graders, {"kind": "code", "tests": "pass"}, f"{code}#")
    assert verdict == Verdict((0.0,), detail={"check": "code", "why": "too long"})


async def test_code_is_off_by_default() -> None:
    """Without the operator's word no code runs, and the refusal names the setting."""
    graders = Graders(GraderSettings())
    with pytest.raises(InvalidRequest, match=r"graders\.code"):
        await graders.grader_for(read_check({"kind": "code", "tests": "pass"}))
    await graders.close()


async def test_what_was_graded_is_remembered(graders: Graders) -> None:
    """The same answer is not run again for the same tenant and check, and is for any other."""
    check = read_check({"kind": "code", "tests": [{"stdout": ""}]})
    kept = await graders.grader_for(check)
    first = await kept.score(PROBLEM, Chain(("x = 1",), is_whole=True), deadline_s=AMPLE_S, salt="a")
    again = await kept.score(PROBLEM, Chain(("x = ", "1"), is_whole=True), deadline_s=AMPLE_S, salt="a")
    other = await kept.score(PROBLEM, Chain(("x = 1",), is_whole=True), deadline_s=AMPLE_S, salt="b")
    assert again is first
    assert other == first
    assert other is not first


async def test_a_grader_is_a_verifier_of_whole_answers(graders: Graders) -> None:
    """It has the kind's name, calls no model, and scores from 0 to 1."""
    grader = await graders.grader_for(read_check({"kind": "exact", "answer": "4"}))
    told = (grader.name, grader.aggregation, grader.is_logit, grader.model, grader.scores_steps)
    assert told == ("exact", Aggregation.LAST, False, None, False)


async def test_a_configured_verifier_is_used_by_its_name(graders: Graders) -> None:
    """What a request names is the operator's verifier itself."""
    verdict = await graders.grade(
        read_check({"kind": "judge"}),
        PROBLEM,
        "4",
        deadline_s=1.0,
        key=Key("key_1", "search", scopes=(Scope(models=Names(("small",))),)),
        verifiers={"judge": Judge("small")},
        salt="s",
    )
    assert verdict.detail == {"problem": "What is it?", "answer": "4", "salt": "s"}


async def test_a_verifier_needs_leave_for_its_model(graders: Graders) -> None:
    """A key may name a verifier only if it may use the model that the verifier calls, or if that calls none."""
    key = Key("key_1", "search", scopes=(Scope(models=Names(("small",))),))
    verifiers = {"dear": Judge("large"), "cheap": Judge("small"), "own": Judge(None)}
    with pytest.raises(Forbidden):
        await graders.grader_for(read_check({"kind": "dear"}), key=key, verifiers=verifiers)
    for name in ("cheap", "own"):
        named = await graders.grader_for(read_check({"kind": name}), key=key, verifiers=verifiers)
        assert named is verifiers[name]
    assert await graders.grader_for(read_check({"kind": "dear"}), verifiers=verifiers) is verifiers["dear"]


async def test_an_unknown_name_is_answered_with_those_that_the_key_may_use(graders: Graders) -> None:
    """A misspelt kind lists the checks and the key's own verifiers, and no other's."""
    key = Key("key_1", "search", scopes=(Scope(models=Names(("small",))),))
    verifiers = {"dear": Judge("large"), "cheap": Judge("small")}
    with pytest.raises(InvalidRequest, match=r"math, exact, choice, regex, json_schema, code, cheap$"):
        await graders.grader_for(read_check({"kind": "maths"}), key=key, verifiers=verifiers)
