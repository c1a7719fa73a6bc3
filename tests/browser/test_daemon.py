"""The status page of a real daemon over a real registry: what is dropped appears, hostile names included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from playwright.sync_api import expect
from tests.browser.conftest import PATIENCE_MS, PHONE, Opening
from tests.builders.boards import HTML, SVG, a_picture
from tests.builders.sites import TOKEN, APulse, Site
from tests.e2e.deployment import Deployment, make_run, wait_for
from tests.servers.process import free_ports

from sealrun.settings.http import Place
from sealrun.web.serving import Server

pytestmark = pytest.mark.browser

HOSTILE = {
    "<img src=x onerror=\"document.title='owned'\">.txt": b"<script>document.title='owned'</script>\n",
    "a b#c?d%2e&e=f.csv": b"epoch,<b>loss</b>\n1,<img src=x onerror=document.title='owned'>\n",
    "plots/' onload='document.title=1' x='.svg": SVG,
    "report.html": HTML,
    "not-a-picture.png": HTML,
    "plots/loss.png": a_picture(),
    "\u202egnp.exe": b"\0\1\2",
    "metrics.json": json.dumps({"loss": 0.5, "<script>": "</script>"}).encode(),
}


class Running:
    """A daemon as a process, with a registry in a directory, a watch and a token."""

    def __init__(self, root: Path) -> None:
        (self.port,) = free_ports(1)
        self.outbox = root / "outbox"
        self.outbox.mkdir()
        self.deployment = Deployment(
            root,
            {"main": {"url": str(root / "registry")}},
            {"name": "outbox", "path": str(self.outbox), "experiment": "training", "settle": "1s"},
        )
        self.deployment.write_settings(f'[http]\nlisten = "127.0.0.1:{self.port}"\ntoken = {{ env = "PAGE_TOKEN" }}')
        place = Place(host="127.0.0.1", port=self.port)
        # Only the address of this one is used: the server is in the daemon.
        self.site = Site(Server(place, _nothing), place.host, place.port, APulse(), TOKEN)

    def answers(self) -> bool:
        try:
            return self.site.get("/-/healthy").status == 200
        except OSError:
            return False

    def has_run(self, name: str) -> bool:
        answer = self.site.get(f"/runs?search={name}", self.site.bearer)
        return answer.status == 200 and f">{name}<" in answer.text


def _nothing() -> web.Application:  # never called
    raise AssertionError


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("PAGE_TOKEN", TOKEN)
    found = Running(tmp_path)
    found.deployment.start()
    try:
        wait_for("the daemon answers", found.answers)
        yield found
    finally:
        found.deployment.kill()


def test_a_dropped_run_appears_while_one_looks_and_everything_in_it_is_inert(
    running: Running, opening: Opening
) -> None:
    with opening(running.site, signed_in=True, size=PHONE) as looking:
        page = looking.go("/")
        looking.check("/")
        looking.check_accessible("/")
        expect(page.locator("#watches")).to_contain_text("No run yet: drop a folder into")
        make_run(running.outbox / "lr3", HOSTILE, marker=False)
        expect(page.locator("#events")).to_contain_text("run.published", timeout=PATIENCE_MS)
        wait_for("the run is listed", lambda: running.has_run("lr3"))
        page = looking.go("/runs")
        looking.check("/runs")
        page.locator("#runs th a").first.click()
        expect(page.locator("#files-title")).to_contain_text(f"{len(HOSTILE)} files")
        looking.check("the run")
        looking.check_accessible("the run")
        here = page.url.removeprefix(running.site.url)
        links = page.eval_on_selector_all("#files th a", "all => all.map((each) => each.getAttribute('href'))")
        assert len(links) == len(HOSTILE)
        for link in links:
            looking.go(link)
            looking.check(link)
            looking.check_accessible(link)
        looking.go(here)
        assert page.locator(".pictures img").count() == 2
        for image in page.locator(".pictures img").all():
            image.scroll_into_view_if_needed()
        for path in ("/pointers", "/pointers/main/training/latest", "/events", "/registries/main", "/watches/outbox"):
            looking.go(path)
            looking.check(path)
            looking.check_accessible(path)
        page = looking.go("/registries/main/plan")
        expect(page.locator("#plan")).to_contain_text("Made")
        looking.check("the plan")


def test_a_registry_that_is_paused_from_the_page_waits_until_it_is_resumed(running: Running, opening: Opening) -> None:
    with opening(running.site, signed_in=True) as looking:
        page = looking.go("/registries/main")
        page.get_by_text("Pause deliveries…").click()
        page.get_by_label("Why").fill("the disk <b>moves</b>")
        page.get_by_role("button", name="Pause deliveries: main").click()
        expect(page.locator("#registry")).to_contain_text("the disk <b>moves</b>")
        make_run(running.outbox / "waits", {"a.txt": b"a"})
        expect(page.locator("#queue")).to_contain_text("waits", timeout=PATIENCE_MS)
        page.get_by_text("Resume deliveries…").click()
        page.get_by_role("button", name="Resume deliveries: main").click()
        expect(page.locator("#queue")).to_contain_text("Nothing waits", timeout=PATIENCE_MS)
        looking.check("resumed")
    wait_for("the run is listed", lambda: running.has_run("waits"))
