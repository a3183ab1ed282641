"""Every page: it is there, whole, and nothing that a client sent ever runs in it."""

from __future__ import annotations

import re

import pytest

from gateway.difficulty.classifier import Learned
from gateway.domain.prediction import Prompt
from gateway.policy.explain import prompt_facts
from tests.http.dashboard.browser import Reading
from tests.http.dashboard.conftest import Shown
from tests.http.dashboard.seeding import HOSTILE, RUN

PAGES = (
    "/dashboard",
    "/dashboard?by=team&paused",
    "/dashboard?by=model",
    "/dashboard?by=category",
    "/dashboard?by=arm",
    "/dashboard/requests",
    "/dashboard/requests?result=failed&arm=fast",
    "/dashboard/requests/REQUEST",
    "/dashboard/policies",
    "/dashboard/policies/default",
    "/dashboard/profiles",
    "/dashboard/profiles/default",
    "/dashboard/profiles/default?version=1",
    "/dashboard/profiles/default?version=2",
    "/dashboard/savings",
    "/dashboard/runs",
    f"/dashboard/runs/{RUN}",
    "/dashboard/keys",
    "/dashboard/changes",
)
PARTS = (
    "/dashboard/parts/live",
    "/dashboard/parts/spending?by=arm",
    "/dashboard/parts/budgets",
    "/dashboard/parts/durations",
    "/dashboard/parts/upstreams",
    f"/dashboard/runs/{RUN}?part",
)
SHOWS_HOSTILE = {
    "/dashboard",
    "/dashboard/requests",
    "/dashboard/requests/REQUEST",
    "/dashboard/profiles/default?version=1",
    "/dashboard/savings",
}


@pytest.mark.parametrize("path", [*PAGES, *PARTS])
def test_every_page_is_whole_and_harmless(shown: Shown, path: str) -> None:
    """A page is valid HTML of its own origin, with a strict policy, and without scripts or styles of its own."""
    answer = shown.visitor().get(path.replace("REQUEST", shown.request_id))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    check_policy(answer.headers["content-security-policy"])
    reading = Reading(answer.text)
    assert reading.faults == []
    for tag, attributes in reading.tags:
        assert tag not in {"style", "img", "iframe", "object", "base"}
        assert not [name for name in attributes if name.startswith(("on", "hx-on")) or name == "style"]
        for name in ("href", "src", "action", "hx-get", "hx-post"):
            assert re.match(r"(/dashboard|#|$)", attributes.get(name) or ""), (tag, attributes)
        if tag == "script":
            assert (attributes["src"] or "").startswith("/dashboard/static/htmx-2.min.js?v=")
    assert "<script>alert" not in answer.text
    if path in SHOWS_HOSTILE:
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text


def check_policy(policy: str) -> None:
    """The browser loads from here alone, and runs nothing that stands in a page."""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert all(f"{each} 'self'" in policy for each in ("script-src", "style-src", "connect-src", "form-action"))
    assert "frame-ancestors 'none'" in policy


def test_the_overview_tells_what_the_log_holds(shown: Shown) -> None:
    """Live traffic has its decision, and spending is summed by what is asked for."""
    visitor = shown.visitor()
    page = visitor.get("/dashboard").text
    assert f'href="/dashboard/requests/{shown.request_id}"' in page
    assert "think-hard" in page
    assert "default" in page
    assert "very hard" in page
    by_model = visitor.get("/dashboard/parts/spending?by=model").text
    assert all(name in by_model for name in ("haiku", "sonnet", "local"))
    durations = visitor.get("/dashboard/parts/durations").text
    assert all(name in durations for name in ("p50", "p99", "By arm", "By model"))


def test_a_request_tells_its_decision(shown: Shown) -> None:
    """Reasons, dropped options, calls, and the search as a tree whose nodes lead to the draws."""
    page = shown.visitor().get(f"/dashboard/requests/{shown.request_id}").text
    for words in ("the rule for math", "costs more than $0.25", "fell back", "very hard", "search tree of 7 draws"):
        assert words in page, words
    assert page.count('class="edge taken"') == 3
    assert page.count('class="edge"') == 4
    assert all(f'id="draw-{number}"' in page and f'href="#draw-{number}"' in page for number in range(7))


def test_a_profile_tells_its_evidence(shown: Shown) -> None:
    """The certificate, accuracy against cost, and savings with intervals beside the shuffled control."""
    page = shown.visitor().get("/dashboard/profiles/default?version=2").text
    source = "Accuracy by the checks of the items that were asked in run"
    for words in ("is at most 1.7%", "beside the shuffled control", "95% intervals", source):
        assert words in page, words
    assert page.count('class="chosen"') == 2


def test_a_run_tells_how_far_it_is(shown: Shown) -> None:
    """Answers measured of those that it measures at most, and accuracy by category and arm with its interval."""
    page = re.sub(r"<[^>]+>", "", shown.visitor().get(f"/dashboard/runs/{RUN}").text)
    for words in ("480 of 600 at most", "80%", "95% interval"):
        assert words in page, words


def test_savings_are_told_with_their_doubts(shown: Shown) -> None:
    """Beside the reference arm and the control, with intervals; where the log cannot tell, and why, is said."""
    page = re.sub(r"<[^>]+>", "", shown.visitor().get("/dashboard/savings").text)
    for words in (
        "cost saved against think-hard62% (57% to 66%)",
        "accuracy beside think-hard\N{MINUS SIGN}0.4% (\N{MINUS SIGN}1.9% to 1.1%)",
        "cost saved against the shuffled control6.4% (2.1% to 11%)",
        "accuracy beside the shuffled controlthe log cannot tell",
        "5\N{NARROW NO-BREAK SPACE}930 requests that could go to several",
        "7\N{NARROW NO-BREAK SPACE}420 count; left out are 1\N{NARROW NO-BREAK SPACE}204 followed, 88 named.",
        "6\N{NARROW NO-BREAK SPACE}820 (92%) could have gone to think-hard",
        "12 are left as an effective sample size",
        "user 91% (86% to 94%) of 212",
        "Nothing can be told: none of the requests that were looked at was decided afresh (40 observed).",
    ):
        assert words in page, words


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/dashboard/nowhere", 404),
        ("/dashboard/parts/nowhere", 404),
        ("/dashboard?by=colour", 400),
        ("/dashboard/requests/1", 400),
        ("/dashboard/requests?result=great", 400),
        ("/dashboard/requests?arm=%00", 400),
        ("/dashboard/requests?key=%00", 400),
        ("/dashboard/requests/00000000-0000-7000-8000-000000000000", 404),
        ("/dashboard/policies/%3Cscript%3E", 404),
        ("/dashboard/policies/default?version=x", 400),
        ("/dashboard/profiles/%3Cscript%3Ealert(1)", 400),
        ("/dashboard/profiles/unknown", 404),
        ("/dashboard/profiles/default?version=99", 404),
        ("/dashboard/profiles/default?version=-1", 400),
        ("/dashboard/runs/unknown", 404),
        ("/dashboard/changes?before=x", 400),
        ("/dashboard/static/app.py", 404),
    ],
)
def test_refusals_are_pages_too(shown: Shown, path: str, status: int) -> None:
    """What is not there or not understood is told on a page, in the gateway's words, escaped."""
    answer = shown.visitor().get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    check_policy(answer.headers["content-security-policy"])
    assert Reading(answer.text).faults == []
    assert "<script>alert" not in answer.text


def test_a_policy_explains_a_prompt(shown: Shown) -> None:
    """The box tells how a prompt is decided, as ponder policy explain does, and gives the prompt back escaped."""
    visitor, prompt = shown.visitor(), "What is 17 * 23?"
    answer = visitor.send("/dashboard/policies/default/explain", prompt=prompt)
    assert answer.status_code == 200, answer.text
    assert "├─ policy default" in answer.text
    told = prompt_facts(prompt, Learned.load().classify(Prompt(text=prompt)))
    assert f"category: {told['category']}" in answer.text
    assert re.search(r"all \d+ pass", answer.text)
    hostile = visitor.send("/dashboard/policies/default/explain", prompt=HOSTILE).text
    assert "&lt;script&gt;alert(1)" in hostile
    assert "<script>alert" not in hostile
    assert Reading(hostile).faults == []
    assert visitor.send("/dashboard/policies/default/explain", prompt=" ").status_code == 400


def test_files_may_be_kept_for_good(shown: Shown) -> None:
    """Styles, the icon and htmx come without a session, under addresses that change with them."""
    client = shown.visitor().client
    client.cookies.clear()
    for name, kind in (("dashboard.css", "text/css"), ("htmx-2.min.js", "text/javascript"), ("icon.svg", "image/svg")):
        answer = client.get(f"/dashboard/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
