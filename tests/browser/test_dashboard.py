"""The dashboard in headless Chromium: it follows what happens, is used by keyboard, and fits any width and light."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.browser.conftest import Site, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(os.environ.get("SCREENSHOTS") or "build/screenshots")
LARGEST_PICTURE = 150_000
_PICTURE = re.compile(r"images/(dashboard[\w-]*\.png)")
FOCUSED = "document.activeElement.id"


def test_parts_follow_by_themselves(watched: Watched, site: Site) -> None:
    """The newest requests are asked for again within seconds, and a focused line keeps the focus."""
    page = watched.page
    line = f"request-{site.request_id}"
    page.locator(f"#{line}").focus()
    with page.expect_response(lambda answer: answer.url.endswith("/dashboard/parts/live")) as told:
        pass
    assert told.value.ok
    page.wait_for_function("() => document.querySelectorAll('.htmx-settling, .htmx-swapping').length === 0")
    assert page.evaluate(FOCUSED) == line


def test_holding_still(watched: Watched) -> None:
    """What moves by itself can be held still."""
    page = watched.page
    page.get_by_role("link", name="Hold still").click()
    page.wait_for_url("**/dashboard?paused*")
    assert page.locator("[hx-trigger]").count() == 0
    page.get_by_role("link", name="Follow what happens").click()
    page.wait_for_url(lambda address: "paused" not in address)
    assert page.locator("[hx-trigger]").count() == 5


def test_the_keyboard_suffices(watched: Watched, site: Site) -> None:
    """The first stop skips to the content; every stop is visible; a request and the tree of its search are reached."""
    page = watched.page
    page.goto(f"{site.address}/dashboard/requests/{site.request_id}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == "main"
    labels = []
    while page.keyboard.press("Tab") or page.evaluate("document.activeElement.tagName") != "BODY":
        labels.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", labels
    assert {f"draw {number}" for number in range(7)} <= set(labels)
    page.locator("svg a[aria-label='draw 5']").focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("#draw-5")


@pytest.mark.parametrize("width", [360, 768, 2200])
def test_every_page_fits(watched: Watched, site: Site, width: int) -> None:
    """From a telephone's width on, no page is wider than the window; wide tables scroll by themselves."""
    watched.page.set_viewport_size({"width": width, "height": 800})
    paths = ["requests", f"requests/{site.request_id}", "policies", "policies/default", "profiles"]
    paths += ["profiles/default?version=2", "savings", "runs", f"runs/{site.run}", "keys", "changes"]
    for path in ("", *(f"/{each}" for each in paths)):
        watched.page.goto(f"{site.address}/dashboard{path}")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_light_and_dark(chromium: Browser, site: Site, watched: Watched) -> None:
    """The page follows the system's light, with text that stands out in both."""
    seen = {}
    for light in ("light", "dark"):
        context = chromium.new_context(color_scheme=light, storage_state=watched.context.storage_state())
        page = context.new_page()
        page.goto(f"{site.address}/dashboard")
        seen[light] = [
            page.evaluate(f"getComputedStyle(document.documentElement).{name}") for name in ("backgroundColor", "color")
        ]
        context.close()
    assert seen["light"] == ["rgb(255, 255, 255)", "rgb(31, 35, 40)"]
    assert seen["dark"] == ["rgb(13, 17, 23)", "rgb(240, 246, 252)"]


def test_a_prompt_is_explained(watched: Watched, site: Site) -> None:
    """A prompt typed into the box is explained on the same page."""
    page = watched.page
    page.goto(f"{site.address}/dashboard/policies/default")
    page.get_by_label("Prompt").fill("Prove that the square root of 2 is irrational. <script>alert(3)</script>")
    page.get_by_role("button", name="Explain").click()
    page.wait_for_url("**/explain**")
    assert "├─ policy default" in page.inner_text("pre >> nth=0")


def test_a_key_is_issued_and_given_a_budget(watched: Watched, site: Site) -> None:
    """An admin issues a key, sets its budget and revokes it, each with a click."""
    page = watched.page
    page.goto(f"{site.address}/dashboard/keys")
    page.get_by_label("name").fill("clicked")
    page.get_by_role("button", name="Issue").click()
    assert page.inner_text("[role=status] pre").startswith("sk-ponder-")
    row = page.get_by_role("row").filter(has_text="clicked")
    row.get_by_text("Set a budget").click()
    row.get_by_label("dollars").fill("7.5")
    row.get_by_role("button", name="Set", exact=True).click()
    page.wait_for_url("**/dashboard/keys")
    row = page.get_by_role("row").filter(has_text="clicked")
    assert "$7.50 a day" in row.inner_text()
    row.get_by_text("Revoke").click()
    row.get_by_role("button", name="Refuse this key for good").click()
    page.wait_for_url("**/dashboard/keys")
    assert page.get_by_role("row").filter(has_text="clicked").count() == 0


def test_an_open_page_leaves_with_its_session(chromium: Browser, site: Site, watched: Watched) -> None:
    """When a session ends elsewhere, a page that follows what happens goes to where one signs in."""
    context = chromium.new_context(storage_state=watched.context.storage_state())
    other = context.new_page()
    other.goto(f"{site.address}/dashboard")
    watched.page.goto(f"{site.address}/dashboard/keys")
    watched.page.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/dashboard/sign-in")
    context.close()


@pytest.mark.parametrize("light", ["light", "dark"])
def test_pictures(chromium: Browser, tidy_site: Site, light: Literal["light", "dark"]) -> None:
    """Pictures for the README, in both lights: overview, a search, a profile's evidence and savings, each a small file.

    Those that the pages of this repository show are all among them.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    made = Watched(chromium, tidy_site.address, viewport={"width": 1200, "height": 900}, color_scheme=light)
    page = made.page
    tidy_site.sign_in(page)
    page.goto(f"{tidy_site.address}/dashboard/keys")
    page.get_by_text("Set a budget").first.click()
    page.get_by_label("dollars").first.fill("5")
    page.get_by_role("button", name="Set", exact=True).first.click()
    page.wait_for_url("**/dashboard/keys")
    taken = set()
    for name, path, height in (
        ("dashboard", "?by=arm&paused", 1080),
        ("dashboard-request", f"/requests/{tidy_site.request_id}", 1150),
        ("dashboard-profile", "/profiles/default?version=2", 880),
        ("dashboard-savings", "/savings", 760),
    ):
        page.set_viewport_size({"width": 1200, "height": height})
        page.goto(f"{tidy_site.address}/dashboard{path}")
        file = SCREENSHOTS / f"{name}{'-dark' if light == 'dark' else ''}.png"
        page.screenshot(path=file)
        taken.add(file.name)
        assert 10_000 < file.stat().st_size < LARGEST_PICTURE
    shown = {name for file in ("README.md", "docs/dashboard.md") for name in _PICTURE.findall(Path(file).read_text())}
    assert {name for name in shown if ("-dark" in name) == (light == "dark")} == taken
    made.context.close()
    assert made.faults == []
