"""Pages as people see them: in a real Chromium, wide and narrow, light and dark; and a machine looks for barriers.

Chromium is the system's own: nothing is fetched for a test. It starts once for all tests of a worker, each of which
has a window without a past.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.flows.running import Gateway

NAMES = ("chromium", "chromium-browser", "google-chrome")
NO_CHROMIUM = "no Chromium, no look at the pages (on Debian: apt-get install --no-install-recommends chromium)"
# Chromium refuses its sandbox to root; a container may have little shared memory.
OPTIONS = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
# Boxes whose words are wider than they are.
TOO_WIDE = """[...document.querySelectorAll("main *")]
    .filter((one) => one.clientWidth > 1 && one.scrollWidth > one.clientWidth + 1)
    .filter((one) => getComputedStyle(one).overflowX === "visible").map((one) => one.outerHTML)"""


@dataclass(frozen=True)
class Look:
    """A screen, in CSS pixels, and the colours that its owner prefers."""

    width: int
    height: int
    colours: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.width}-{self.colours}"

    @property
    def is_wide(self) -> bool:
        return self.width > 1000


WIDE, WIDE_DARK = Look(1280, 900, "light"), Look(1280, 900, "dark")
NARROW, NARROW_DARK = Look(390, 844, "light"), Look(390, 844, "dark")


@pytest.fixture
def dialect() -> str:
    """One database: what is written through a page is tried on each in the other flows."""
    return "sqlite"


@pytest.fixture(params=[WIDE, WIDE_DARK, NARROW, NARROW_DARK], ids=str)
def look(request: pytest.FixtureRequest) -> Look:
    """Each screen in its turn; fewer with `parametrize("look", [WIDE], indirect=True, ids=str)`."""
    found: Look = request.param
    return found


@pytest.fixture
def _function_scoped_runner(_session_scoped_runner: asyncio.Runner) -> asyncio.Runner:
    """Every test here, and whatever it talks to, runs in the loop of the browser that they share.

    pytest-asyncio asks for this fixture by name; by a loop of its own no test could speak to the browser.
    """
    return _session_scoped_runner


@asynccontextmanager
async def chromium(*options: str) -> AsyncIterator[Browser]:
    """A browser of its own, started with these options besides."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(NO_CHROMIUM)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=program, args=[*OPTIONS, *options])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


class Screen:
    """A window of the browser on the gateway, and all that was amiss in it."""

    def __init__(self, page: Page, gateway: Gateway) -> None:
        self.page = page
        self._gateway = gateway
        self._amiss: list[str] = []  # on the page that is shown now
        page.on("console", lambda said: said.type in ("error", "warning") and self._amiss.append(said.text))
        page.on("pageerror", lambda error: self._amiss.append(str(error)))
        page.on("requestfailed", lambda request: self._amiss.append(f"failed: {request.url}"))
        page.on("request", lambda request: self._ours(request.url) or self._amiss.append(f"elsewhere: {request.url}"))

    def _ours(self, url: str) -> bool:
        return url.startswith((f"{self._gateway.url}/", "data:"))

    async def open(self, path: str, *, status: int = 200) -> Page:
        self._amiss.clear()
        answer = await self.page.goto(self._gateway.url + path)
        assert answer
        assert answer.status == status
        if status != 200:  # which Chromium says on the console
            self._amiss = [said for said in self._amiss if f"status of {status}" not in said]
        return self.page

    def forget(self, words: str) -> None:
        """What was to be said on the console."""
        self._amiss = [said for said in self._amiss if words not in said]

    async def show(self, html: str) -> Page:
        """A page of the test's own."""
        self._amiss.clear()
        await self.page.set_content(html, wait_until="networkidle")
        return self.page

    async def must_be_sound(self, *, contrast_in: str | None = None) -> None:
        """No barrier that axe finds, by all its rules; nothing said on the console, nobody else asked; all of it is on
        the screen without scrolling sideways, and no words stand over others.

        `contrast_in`: the elements (a selector) whose contrasts are measured, which takes seconds for a thousand.
        """
        rules = {"target-size": {"enabled": True}}
        if contrast_in is None:
            await self._must_pass({"rules": rules})
        else:
            await self._must_pass({"rules": rules | {"color-contrast": {"enabled": False}}})
            await self._must_pass({"runOnly": ["color-contrast"]}, within=contrast_in)
        assert self._amiss == []
        assert await self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert await self.page.evaluate(TOO_WIDE) == [], "which stands over what is beside it"

    async def _must_pass(self, options: dict[str, Any], *, within: str | None = None) -> None:
        found = await Axe().run(self.page, within, {"resultTypes": ["violations"], **options})
        assert [_barrier(one) for one in found.response["violations"]] == []


def _barrier(found: dict[str, Any]) -> str:
    return f"{found['id']}: {found['help']}: " + ", ".join(str(node["html"]) for node in found["nodes"][:5])


@pytest.fixture
async def screen(browser: Browser, gateway: Gateway, look: Look) -> AsyncIterator[Screen]:
    size = ViewportSize(width=look.width, height=look.height)
    context = await browser.new_context(viewport=size, color_scheme=look.colours)
    yield Screen(await context.new_page(), gateway)
    await context.close()
