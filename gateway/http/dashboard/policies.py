"""Policies: what is in force and what was, the difference between versions, cases, and how a prompt is decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.domain.key import Role
from gateway.domain.prediction import Prompt
from gateway.errors import InvalidRequest, NotFound, PonderError
from gateway.http.admin import policies
from gateway.http.dashboard import forms
from gateway.http.dashboard.authors import author, may
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import FORM, VISITOR
from gateway.http.dashboard.pages import Pages
from gateway.policy.cases import CaseResult, run_cases
from gateway.policy.decide import decide
from gateway.policy.explain import explain, prompt_facts
from gateway.policy.reading import Policy
from gateway.policy.replay import recall

_LISTED = 50
_LONGEST_PROMPT = 20_000
_KINDS = {"+": "plus", "-": "minus", "@": "at"}


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a difference; ``kind`` is how it is drawn."""

    text: str
    kind: str


def routes(board: Board, pages: Pages) -> list[Route]:
    """The list of policies, one policy, and what can be done with it."""
    shown = _Shown(board, pages)

    async def page(request: Request) -> Response:
        desk = board.desk
        found = [(policy, desk.activation_of(name)) for name, policy in sorted(desk.policies().items())]
        return HTMLResponse(
            await pages.render(
                "policies.html", visitor=request.scope[VISITOR], here="policies", title="Policies", found=found
            )
        )

    async def one(request: Request) -> Response:
        return HTMLResponse(await shown.one(request))

    async def explained(request: Request) -> Response:
        prompt = request.scope[FORM].get("prompt", "")
        if not prompt.strip() or len(prompt) > _LONGEST_PROMPT:
            raise InvalidRequest(f"the prompt to explain has from 1 to {_LONGEST_PROMPT} characters", param="prompt")
        return HTMLResponse(await shown.one(request, prompt=prompt))

    async def roll_back(request: Request) -> Response:
        name, by = forms.reference(request.path_params["name"]), author(request, board, Role.OPERATOR)
        body = forms.read(policies.RollbackBody, to=request.scope[FORM].get("to"))
        await policies.roll_back(name, by, board.desk, body)
        return _back_to(name)

    async def release(request: Request) -> Response:
        name, by = forms.reference(request.path_params["name"]), author(request, board, Role.OPERATOR)
        await policies.release(name, by, board.desk)
        return _back_to(name)

    return [
        Route("/dashboard/policies", page, methods=["GET"]),
        Route("/dashboard/policies/{name}", one, methods=["GET"]),
        Route("/dashboard/policies/{name}/explain", explained, methods=["POST"]),
        Route("/dashboard/policies/{name}/rollback", roll_back, methods=["POST"]),
        Route("/dashboard/policies/{name}/release", release, methods=["POST"]),
    ]


def _back_to(name: str) -> Response:
    return RedirectResponse(f"/dashboard/policies/{name}", 303)


class _Shown:
    """The page of one policy."""

    def __init__(self, board: Board, pages: Pages) -> None:
        self._board = board
        self._pages = pages

    async def one(self, request: Request, *, prompt: str | None = None) -> Markup:
        """The page; with the explanation of a prompt, where there is one."""
        desk, name = self._board.desk, request.path_params["name"]
        policy = desk.policies().get(name)
        if policy is None:
            raise NotFound(f"there is no policy {name!r}; there are: {', '.join(sorted(desk.policies())) or 'none'}")
        history = await desk.policy_versions.history(name, limit=_LISTED)
        chosen = forms.digest(request.query_params.get("version") or policy.digest)
        text = policy.text if chosen == policy.digest else (await desk.policy_versions.find(chosen)).document
        against = request.query_params.get("against")
        before = None if not against else (await desk.policy_versions.find(forms.digest(against))).document
        return await self._pages.in_thread(
            lambda: self._pages.draw(
                "policy.html",
                visitor=request.scope[VISITOR],
                here="policies",
                title=f"Policy {name}",
                policy=policy,
                activation=desk.activation_of(name),
                history=history,
                chosen=chosen,
                against=against,
                text=text,
                difference=None if before is None else _difference(before, text),
                prompt=prompt,
                explanation=None if prompt is None else self._explained(name, prompt),
                cases=self._cases(policy),
                may_operate=may(request, Role.OPERATOR),
            )
        )

    def _explained(self, name: str, prompt: str) -> str:
        """As ``ponder policy explain`` tells it, by the policy in force here."""
        house = self._board.house
        active = house.catalog.policies.get(name)
        if active is None:
            raise NotFound(f"policy {name!r} is not in force here")
        ask = recall(prompt_facts(prompt, house.classify.classify(Prompt(text=prompt))))
        return "\n".join(explain(decide(active.ready, ask.facts, None, ask.snapshots, ask.u)))

    def _cases(self, policy: Policy) -> tuple[CaseResult, ...] | str | None:
        """How the cases beside the policy's file go with what is in force; None for none, words for a fault in them."""
        try:
            cases = self._board.desk.cases(policy.name)
            return None if cases is None else run_cases(policy, cases)
        except PonderError as fault:
            return fault.message


def _difference(before: str, after: str) -> list[DiffLine]:
    lines: Iterable[str] = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    told = list(lines)[2:]  # without the names of files
    return [DiffLine(line, _KINDS.get(line[:1], "")) for line in told]
