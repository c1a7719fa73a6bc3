"""Debian's Chromium, and whoever looks through it: nothing that goes wrong on a page goes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from tests.builders.sites import Site

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
DESKTOP, PHONE = (1280, 800), (360, 740)
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class Looking:
    """A page of a site, and everything that went wrong on it."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.site = site
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.wrong: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._interrupted)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:")):
            self.wrong.append(f"outside: {request.url}")

    def _interrupted(self, dialog: Any) -> None:  # noqa: ANN401 - a dialog of Playwright
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, path: str, status: int = 200) -> Page:
        """Open a page; an answer that is an error is one that was expected."""
        answer = self.page.goto(f"{self.site.url}{path}")
        assert answer is not None
        assert answer.status == status, path
        if status >= 400:
            self.wrong = [line for line in self.wrong if "Failed to load resource" not in line]
        return self.page

    def check(self, where: str) -> None:
        """Nothing went wrong, nothing was executed, nothing is wider than the screen."""
        self.wrong += [f"policy: {name}" for name in self.page.evaluate("window.violations ?? []")]
        assert self.wrong == [], where
        assert self.page.title() != "owned", where
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{where} is {wide} pixels too wide"

    def check_accessible(self, where: str) -> None:
        found = Axe().run(self.page)
        said = [
            f"{each['id']}: {[node['target'] for node in each['nodes']][:3]}" for each in found.response["violations"]
        ]
        assert said == [], where


Opening = Callable[..., AbstractContextManager[Looking]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opening(chromium: Browser) -> Opening:
    @contextmanager
    def look(
        site: Site,
        *,
        scheme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = DESKTOP,
        script: bool = True,
        signed_in: bool = False,
    ) -> Iterator[Looking]:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=script
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.add_init_script(_WATCH)
        if signed_in:
            name, _, value = site.sign_in()["Cookie"].partition("=")
            context.add_cookies([{"name": name, "value": value, "url": site.url}])
        try:
            yield Looking(context, site)
        finally:
            context.close()

    return look
