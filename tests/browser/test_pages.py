"""Every page in a real browser: light and dark, desktop and phone, with a script and without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Literal

import msgspec
import pytest
from playwright.sync_api import expect
from tests.browser.conftest import DESKTOP, PATIENCE_MS, PHONE, Opening
from tests.builders.boards import NOW, InventedBoard, a_quiet_board
from tests.builders.pages import EVERY_PAGE, RUN
from tests.builders.sites import TOKEN, Site, a_site

from sealrun.domain.oversight.board import Pause
from sealrun.web import actions, api, pages
from sealrun.web.actions import RunName
from sealrun.web.wording import relative

pytestmark = pytest.mark.browser
QUIET_PAGES = ("/", "/watches/outbox", "/registries/main", "/runs", "/pointers", "/events")


class Hands:
    """`sealrun.web.actions.Acting` that only remembers what it was asked for, and pauses registries of a board."""

    def __init__(self, board: InventedBoard) -> None:
        self.board = board
        self.did: list[tuple[object, ...]] = []

    def _pause(self, name: str, pause: Pause | None) -> None:
        self.board.registry_list = [
            msgspec.structs.replace(each, paused=pause) if each.name == name else each
            for each in self.board.registry_list
        ]
        self.board.happen("registry.paused" if pause else "registry.resumed", name)

    def pause(self, kind: Literal["registry", "watch"], name: str, given: Mapping[str, str]) -> str:
        self.did.append(("pause", kind, name, given.get("reason"), given.get("for")))
        self._pause(name, Pause(cause="person", reason=given.get("reason", "")))
        return "paused"

    def resume(self, kind: Literal["registry", "watch"], name: str) -> str:
        self.did.append(("resume", kind, name))
        self._pause(name, None)
        return "resumed"

    def retry(self, registry: str) -> str:
        self.did.append(("retry", registry))
        return "tried"

    def rescan(self, watch: str) -> str:
        self.did.append(("rescan", watch))
        return "looked"

    def promote(self, run: RunName, given: Mapping[str, str]) -> str:
        self.did.append(("promote", run.run, given["pointer"], given.get("reason")))
        return "promoted"

    def roll_back(self, registry: str, experiment: str, pointer: str, given: Mapping[str, str]) -> str:
        self.did.append(("roll back", registry, experiment, pointer, given["to"]))
        return "rolled back"

    def pin(self, run: RunName, given: Mapping[str, str]) -> str:
        self.did.append(("pin", run.run, given.get("reason"), given.get("expires")))
        return "pinned"

    def unpin(self, run: RunName, given: Mapping[str, str]) -> str:
        self.did.append(("unpin", run.run, given.get("reason")))
        return "unpinned"

    def undo(self, run: RunName) -> str:
        self.did.append(("undo", run.run))
        return "undone"


@pytest.fixture
def board() -> InventedBoard:
    return InventedBoard()


@pytest.fixture
def hands(board: InventedBoard) -> Hands:
    return Hands(board)


@pytest.fixture
def site(board: InventedBoard, hands: Hands) -> Iterator[Site]:
    with a_site(board, [*pages.routes(), *api.routes(), *actions.routes(hands)]) as found:
        yield found


@pytest.fixture
def guarded(board: InventedBoard, hands: Hands) -> Iterator[Site]:
    with a_site(board, [*pages.routes(), *api.routes(), *actions.routes(hands)], token=TOKEN) as found:
        yield found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_whole_and_accessible(
    guarded: Site, opening: Opening, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    with opening(guarded, scheme=scheme, size=size, signed_in=True) as looking:
        for path in EVERY_PAGE:
            page = looking.go(path)
            looking.check(path)
            looking.check_accessible(path)
            if page.locator("details").count():
                page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
                looking.check(f"{path} with everything open")
                if (scheme == "dark") == (size == PHONE):  # it takes long: once for each colour and each size
                    looking.check_accessible(f"{path} with everything open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_daemon_that_was_just_started_are_whole_and_accessible(
    opening: Opening, scheme: Literal["light", "dark"]
) -> None:
    with (
        a_site(a_quiet_board(), [*pages.routes(), *api.routes()]) as site,
        opening(site, scheme=scheme, size=PHONE) as looking,
    ):
        for path in QUIET_PAGES:
            looking.go(path)
            looking.check(path)
            looking.check_accessible(path)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_errors_and_the_form_to_sign_in_are_pages_too(guarded: Site, opening: Opening, size: tuple[int, int]) -> None:
    with opening(guarded, scheme="dark", size=size) as looking:
        looking.go("/login?next=%2Fruns")
        looking.check("/login")
        looking.check_accessible("/login")
    with opening(guarded, size=size, signed_in=True) as looking:
        for path, status in (("/nope", 404), ("/watches/nope", 404), ("/runs?page=x", 400)):
            looking.go(path, status)
            looking.check(path)
            looking.check_accessible(path)


def test_hostile_pages_are_shown_without_a_script_too(site: Site, opening: Opening) -> None:
    with opening(site, script=False, size=PHONE) as looking:
        for path in EVERY_PAGE:
            page = looking.go(path)
            assert looking.wrong == [], path
            assert page.title() != "owned"
            assert page.locator("main h1").count() == 1, path
            assert page.locator("#live").is_hidden()
            assert page.locator("#theme").is_hidden()


def test_without_a_script_one_signs_in_pauses_and_reads_the_plan(guarded: Site, hands: Hands, opening: Opening) -> None:
    with opening(guarded, script=False) as looking:
        page = looking.page
        page.goto(f"{guarded.url}/registries/main")
        expect(page).to_have_url(re.compile("/login"))
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not the token")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{guarded.url}/registries/main")
        page.get_by_text("Pause deliveries…").click()
        page.get_by_label("Why").fill("the disk moves")
        page.get_by_role("button", name="Pause deliveries: main").click()
        expect(page.locator("main")).to_contain_text("the disk moves")
        page.get_by_role("link", name="Make the plan").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("What the collector would do")
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(f"{guarded.url}/login")
    assert hands.did == [("pause", "registry", "main", "the disk moves", None)]


def test_every_form_does_what_its_button_says(guarded: Site, hands: Hands, opening: Opening) -> None:
    with opening(guarded, signed_in=True) as looking:
        page = looking.go("/registries/main")
        page.get_by_text("Try now what waits").click()
        page.get_by_role("button", name="Deliver now to main").click()
        page = looking.go("/watches/outbox")
        page.get_by_text("Look at every folder now").click()
        page.get_by_role("button", name="Look at every folder of outbox").click()
        page = looking.go(RUN)
        page.get_by_text("Let a pointer stand on this run").click()
        page.get_by_label("Pointer", exact=True).fill("best")
        page.get_by_label("Why (kept in its history)").fill("it is")
        page.get_by_role("button", name="Move the pointer to this run").click()
        expect(page).to_have_url(f"{guarded.url}{RUN}")
        page.get_by_text("Keep this run: pin it").click()
        page.get_by_label("Until (optional)").fill("2027-01-31")
        page.get_by_role("button", name="Pin this run", exact=True).click()
        page.get_by_text("Take its pin away").click()
        page.get_by_role("button", name="Unpin this run").click()
        page = looking.go("/pointers/main/training/latest")
        page.get_by_text("Move it back to where it stood before").click()
        page.get_by_role("button", name="Roll latest back to generation 3").click()
        expect(page).to_have_url(f"{guarded.url}/pointers/main/training/latest")
        looking.check("forms")
    assert hands.did == [
        ("retry", "main"),
        ("rescan", "outbox"),
        ("promote", "run-00000", "best", "it is"),
        ("pin", "run-00000", None, "2027-01-31"),
        ("unpin", "run-00000", None),
        ("roll back", "main", "training", "latest", "3"),
    ]


def test_what_happens_appears_without_reloading_and_disturbs_nobody(
    guarded: Site, board: InventedBoard, opening: Opening
) -> None:
    with opening(guarded, signed_in=True) as looking:
        page = looking.go("/")
        expect(page.locator("#live")).to_have_text("Live: on")
        page.evaluate("window.mark = 'the same page'")
        watch = page.locator("#watches .card").first
        watch.locator("summary").click()
        events = page.locator("#events")
        events.locator(".scroll").focus()
        page.evaluate("window.scrollTo(0, 300)")
        where = page.evaluate("window.scrollY")
        board.alarm_list.clear()
        board.watch_list = [msgspec.structs.replace(each, pending=7) for each in board.watch_list]
        board.happen("run.published", "training/just-now")
        expect(events).to_contain_text("training/just-now", timeout=PATIENCE_MS)
        expect(page.locator("h1")).to_contain_text("ok")
        expect(page.locator("#watches")).to_contain_text("7 pending")
        assert watch.locator("details").get_attribute("open") is not None
        assert page.evaluate("window.scrollY") == where or page.evaluate("window.scrollY") < where
        assert page.evaluate("document.activeElement.closest('section')?.id") == "events"
        assert page.evaluate("window.mark") == "the same page"
        looking.check("live")


def test_nothing_is_replaced_under_the_hands_of_somebody_who_types(
    guarded: Site, board: InventedBoard, opening: Opening
) -> None:
    with opening(guarded, signed_in=True) as looking:
        page = looking.go("/registries/main")
        expect(page.locator("#live")).to_have_text("Live: on")
        page.get_by_text("Pause deliveries…").click()
        field = page.get_by_label("Why")
        field.fill("half a sen")
        board.registry_list = [msgspec.structs.replace(each, published=777) for each in board.registry_list]
        board.queue_list.clear()
        board.happen("run.published", "training/just-now")
        expect(page.locator("#queue")).to_contain_text("Nothing waits", timeout=PATIENCE_MS)
        expect(field).to_be_focused()
        expect(field).to_have_value("half a sen")
        page.locator("#storage h2").click()
        field.evaluate("each => each.blur()")
        expect(page.locator("#registry")).to_contain_text("777", timeout=PATIENCE_MS)


def test_live_can_be_switched_off_and_stays_off(guarded: Site, board: InventedBoard, opening: Opening) -> None:
    with opening(guarded, signed_in=True) as looking:
        page = looking.go("/events")
        expect(page.locator("#live")).to_have_text("Live: on")
        page.locator("#live").click()
        expect(page.locator("#live")).to_have_text("Live: off")
        board.happen("run.published", "training/unseen")
        page.reload()
        expect(page.locator("#live")).to_have_text("Live: off")
        expect(page.locator("#events")).to_contain_text("training/unseen")
        page.locator("#live").click()
        expect(page.locator("#live")).to_have_text("Live: on")
        board.happen("run.published", "training/seen")
        expect(page.locator("#events")).to_contain_text("training/seen", timeout=PATIENCE_MS)


def test_the_theme_is_remembered(site: Site, opening: Opening) -> None:
    with opening(site, scheme="light") as looking:
        page = looking.go("/")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.locator("#theme").click()
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_text("◐ Dark")
        dark = page.evaluate(ground)
        assert light != dark
        page = looking.go("/runs")
        assert page.evaluate(ground) == dark
        page.locator("#theme").click()
        assert page.evaluate(ground) == light
        looking.check("theme")


def test_times_are_told_by_the_script_in_the_words_of_the_server(site: Site, opening: Opening) -> None:
    apart = [
        timedelta(minutes=-30),
        timedelta(minutes=-100),
        timedelta(hours=-5.5),
        timedelta(days=-3.5),
        timedelta(hours=9.5),
    ]
    with opening(site) as looking:
        page = looking.go("/")
        for each in apart:
            page.evaluate(
                """(at) => {
                    const time = document.createElement("time");
                    time.dateTime = at; time.dataset.ago = ""; time.className = "told";
                    document.querySelector("footer").append(time);
                }""",
                f"{NOW + each:%Y-%m-%dT%H:%M:%SZ}",
            )
        expected = [relative(f"{NOW + each:%Y-%m-%dT%H:%M:%SZ}", f"{NOW:%Y-%m-%dT%H:%M:%SZ}") for each in apart]
        expect(page.locator("time.told").last).not_to_have_text("", timeout=PATIENCE_MS)
        told = page.locator("time.told").all_inner_texts()
        assert told[2:] == expected[2:]
        assert told[0] in {"29 min ago", "30 min ago"}
        assert told[1] in {"99 min ago", "100 min ago"}


def test_a_command_is_copied_as_it_stands(site: Site, opening: Opening) -> None:
    with opening(site) as looking:
        page = looking.go(RUN)
        page.get_by_role("button", name="Copy: Restore it").click()
        expect(page.get_by_role("button", name="Copy: Restore it")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "sealrun get training/run-00000 --registry main"


def test_the_plan_is_fetched_into_its_place(site: Site, opening: Opening) -> None:
    with opening(site) as looking:
        page = looking.go("/registries/main")
        assert "Runs to retire" not in page.locator("main").inner_text()
        page.get_by_role("link", name="Make the plan").click()
        expect(page.locator("#plan")).to_contain_text("Runs to retire", timeout=PATIENCE_MS)
        expect(page).to_have_url(f"{site.url}/registries/main")
        looking.check("plan")
        looking.check_accessible("plan")


def test_one_finds_a_run_by_its_name_and_looks_at_its_files(site: Site, opening: Opening) -> None:
    with opening(site, size=PHONE) as looking:
        page = looking.go("/runs")
        page.get_by_label("Search").fill("run-00003")
        page.get_by_label("Experiment").select_option("training")
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_role("link", name="run-00003", exact=True).click()
        expect(page.locator("h1")).to_contain_text("run-00003")
        picture = page.locator(".pictures img").first
        assert picture.evaluate("each => each.decode().then(() => each.naturalWidth)") == 64
        page.get_by_role("link", name="plots/hostile.svg").click()
        expect(page.locator("pre")).to_contain_text("onload")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == "hostile.svg"
        looking.check("a file")


def test_every_link_on_every_page_leads_somewhere(site: Site, opening: Opening) -> None:
    seen: set[str] = set()
    with opening(site) as looking:
        for path in EVERY_PAGE:
            page = looking.go(path)
            seen |= set(page.eval_on_selector_all("a[href^='/']", "links => links.map((each) => each.href)"))
    bare = {link.partition("#")[0].removeprefix(site.url) for link in seen}
    wrong = {path: status for path in sorted(bare) if (status := site.get(path).status) != 200}
    # Histories and lineages that were invented name runs that were not.
    assert {path for path in wrong if not re.fullmatch(r"/runs/main/[^/]+/[^/?]+", path)} == set()
