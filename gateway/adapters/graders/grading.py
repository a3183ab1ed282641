"""Checks an answer here: against a truth, by a rule or with tests, or by a verifier of the operator's choice.

:class:`Graders` needs no gateway: a request's search, and a calibration's golden items, use the same.
What a check costs is bounded: patterns, schemas and formulas are compared in processes that are killed when
they are late, and code runs behind walls, where ``graders.code`` allows it at all.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from gateway.adapters.graders import comparing
from gateway.adapters.graders.sandbox import LONGEST_CODE, Sandbox
from gateway.adapters.graders.workers import Workers
from gateway.domain.check import Check, CodeCheck, Kind, NamedCheck, PatternCheck, SchemaCheck, TruthCheck
from gateway.domain.key import Key, may_use
from gateway.domain.verification import Chain, Problem, Verdict
from gateway.errors import Forbidden, InvalidRequest, Unavailable
from gateway.search.aggregate import Aggregation
from gateway.search_ports import Verifier
from gateway.settings import GraderSettings

LONGEST_TEXT: Final = 1_000_000
"""Characters of an answer that a pattern or a schema is held against; a longer one is refused by either."""

_LIMIT_S: Final = 5.0
"""The most that one comparison of formulas, pattern or schema takes, once its process runs."""

_PREPARING_S: Final = 30.0
"""For looking at a check before it is used: the start of a process is in it."""

_REMEMBERED: Final = 4_096
"""Verdicts kept, of the latest answers."""

_TRUE: Final = 1.0
_FALSE: Final = 0.0
_NONE: Final[Mapping[str, Verifier]] = MappingProxyType({})
_Computed: TypeAlias = TruthCheck | PatternCheck | SchemaCheck | CodeCheck


class Graders:
    """Everything that checks are computed with: processes, walls, and the verdicts that are remembered."""

    def __init__(self, settings: GraderSettings) -> None:
        self._runs_code = settings.code
        self._formulas = Workers("formulas", most=settings.processes)
        self._rules = Workers("rules", most=settings.processes)
        self._sandbox = Sandbox(
            most=settings.processes, seconds=settings.code_s, memory_bytes=settings.code_memory_bytes
        )
        self._remembered: OrderedDict[bytes, Verdict] = OrderedDict()

    async def grader_for(
        self, check: Check, *, key: Key | None = None, verifiers: Mapping[str, Verifier] = _NONE
    ) -> Verifier:
        """What scores answers by this check, looked at before any model is called.

        ``key`` is None for the operator's own work, which may use every verifier. Raises InvalidRequest for a
        pattern, schema or name that is none and for code where it is off, Forbidden for a verifier whose model
        the key may not use, and Unavailable where this machine lacks the means.
        """
        if isinstance(check, NamedCheck):
            return _configured(check.verifier, key, verifiers)
        if isinstance(check, CodeCheck):
            await self._require_code()
        elif isinstance(check, PatternCheck):
            await self._require("pattern", {"pattern": check.pattern})
        elif isinstance(check, SchemaCheck):
            await self._require("schema", {"schema": check.schema})
        return Grader(check, self)

    async def grade(
        self,
        check: Check,
        problem: Problem,
        answer: str,
        *,
        deadline_s: float,
        key: Key | None = None,
        verifiers: Mapping[str, Verifier] = _NONE,
        salt: str = "",
    ) -> Verdict:
        """The verdict on one whole answer; raises as :meth:`grader_for` and the verifiers do."""
        grader = await self.grader_for(check, key=key, verifiers=verifiers)
        return await grader.score(problem, Chain((answer,), is_whole=True), deadline_s=deadline_s, salt=salt)

    async def close(self) -> None:
        """End the processes that are kept for the next check."""
        await self._formulas.close()
        await self._rules.close()

    async def verdict(self, check: _Computed, text: str, *, deadline_s: float, salt: str) -> Verdict:
        """The verdict on a text, remembered for as long as there is room. Raises Unavailable where there is none."""
        mark = hashlib.blake2b(repr((salt, check, text)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._remembered.get(mark)
        if known is not None:
            self._remembered.move_to_end(mark)
            return known
        verdict = await self._compute(check, text, deadline_s)
        self._remembered[mark] = verdict
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return verdict

    async def _compute(self, check: _Computed, text: str, deadline_s: float) -> Verdict:
        match check:
            case TruthCheck(kind=Kind.EXACT):
                return _said(check.kind, comparing.is_exactly(text, check.answers))
            case TruthCheck(kind=Kind.CHOICE):
                return _said(check.kind, comparing.is_chosen(text, check.answers))
            case TruthCheck():
                return await self._compare(check, text, deadline_s)
            case PatternCheck(pattern=pattern):
                return await self._match(check.kind, {"pattern": pattern, "text": text}, deadline_s)
            case SchemaCheck(schema=schema):
                return await self._match(check.kind, {"schema": schema, "text": comparing.json_of(text)}, deadline_s)
            case CodeCheck():
                return await self._run(check, text, deadline_s)

    async def _compare(self, check: TruthCheck, text: str, deadline_s: float) -> Verdict:
        """By our own equivalence where that is sure, else by a computer algebra."""
        answer = comparing.final_answer(text)
        holds = comparing.is_same_formula(answer, check.answers)
        if holds is None and answer:
            job = {"golds": check.answers, "answer": answer}
            said = await self._formulas.ask(job, limit_s=_LIMIT_S, deadline_s=deadline_s)
            if "undecided" in said:
                raise Unavailable(f"the answers could not be compared: {said['undecided']}")
            return _said(check.kind, bool(said["holds"]), by="algebra")
        return _said(check.kind, bool(holds), by="equivalence")

    async def _match(self, kind: Kind, job: Mapping[str, str], deadline_s: float) -> Verdict:
        if len(job["text"]) > LONGEST_TEXT:
            return _said(kind, False, why="too long")
        said = await self._rules.ask(job, limit_s=_LIMIT_S, deadline_s=deadline_s)
        if "holds" not in said:
            raise Unavailable(f"the {kind} check gave no verdict: {said.get('undecided') or said.get('refused')}")
        return _said(kind, bool(said["holds"]))

    async def _run(self, check: CodeCheck, text: str, deadline_s: float) -> Verdict:
        code = comparing.code_of(text)
        if len(code) > LONGEST_CODE:
            return _said(check.kind, False, why="too long")
        ending = await self._sandbox.run(code, check.tests, deadline_s=deadline_s)
        holds = ending.passed == len(check.tests)
        return _said(check.kind, holds, tests_passed=ending.passed, tests=len(check.tests), ended=ending.ended)

    async def _require_code(self) -> None:
        if not self._runs_code:
            raise InvalidRequest(
                "'ponder.verify.kind' cannot be 'code' here: running code is off, and the operator can turn it on "
                "with graders.code in ponder.yaml",
                param="ponder.verify.kind",
            )
        await self._sandbox.require_walls()

    async def _require(self, member: str, job: Mapping[str, str]) -> None:
        """Raise InvalidRequest for a rule that is none."""
        said = await self._rules.ask(job, limit_s=_LIMIT_S, deadline_s=_PREPARING_S)
        if "holds" not in said:
            raise InvalidRequest(
                f"'ponder.verify.{member}' is refused: {said.get('refused') or said.get('undecided')}",
                param=f"ponder.verify.{member}",
            )


class Grader:
    """A check that is computed here, as a verifier of whole answers: 1 where it holds, else 0."""

    aggregation = Aggregation.LAST
    is_logit = False
    model = None
    scores_steps = False
    most_readings = 0
    most_output_tokens = 0

    def __init__(self, check: _Computed, graders: Graders) -> None:
        self.name = check.kind.value
        self._check = check
        self._graders = graders

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        """Whether the answer stands the check; the problem says nothing that the check does not."""
        return await self._graders.verdict(self._check, chain.text, deadline_s=deadline_s, salt=salt)


def _said(kind: Kind, holds: bool, **detail: Any) -> Verdict:
    return Verdict((_TRUE if holds else _FALSE,), detail={"check": kind.value, **detail})


def _configured(name: str, key: Key | None, verifiers: Mapping[str, Verifier]) -> Verifier:
    """The operator's verifier of that name, if the key may call its model."""
    found = verifiers.get(name)
    allowed = [each for each, verifier in verifiers.items() if _may_call(key, verifier)]
    if found is None:
        known = ", ".join((*Kind, *sorted(allowed)))
        raise InvalidRequest(
            f"'ponder.verify.kind' is neither a check nor a configured verifier; it can be: {known}",
            param="ponder.verify.kind",
        )
    if name not in allowed:
        raise Forbidden("the key may not use the model that the verifier named by 'ponder.verify.kind' calls")
    return found


def _may_call(key: Key | None, verifier: Verifier) -> bool:
    return key is None or verifier.model is None or may_use(key, verifier.model)
