"""Every page: inert whatever names are on it, whole without a script, and saying what to do where nothing is."""

from __future__ import annotations

import html
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from urllib.parse import unquote

import click
import pytest
from tests.builders.boards import HOSTILE_NAMES, InventedBoard, a_quiet_board
from tests.builders.pages import EVERY_PAGE, RUN, SIGNED_IN, Answer, Taken, answer, answers

from sealrun.cli.main import root
from sealrun.domain.oversight.alarming import KINDS
from sealrun.domain.oversight.board import PointerMove
from sealrun.web.rendering import Viewer, render

QUIET_PAGES = (
    "/",
    "/watches/outbox",
    "/registries/main",
    "/registries/main/plan",
    "/runs",
    "/pointers",
    "/events",
)
URL_ATTRIBUTES = ("href", "src", "action", "formaction", "data-load")


@pytest.fixture(scope="module")
def pages() -> list[tuple[str, Answer]]:
    board = InventedBoard()
    told = [*zip(EVERY_PAGE, answers(board, EVERY_PAGE), strict=True)]
    told += [*zip(EVERY_PAGE, answers(board, EVERY_PAGE, SIGNED_IN), strict=True)]
    return [*told, *zip(QUIET_PAGES, answers(a_quiet_board(), QUIET_PAGES), strict=True)]


def test_every_page_is_answered(pages: list[tuple[str, Answer]]) -> None:
    assert [(path, page.status) for path, page in pages if page.status != 200] == []
    assert {page.kind for _, page in pages} == {"text/html"}


def test_no_page_has_a_script_a_style_or_a_handler_of_its_own(pages: list[tuple[str, Answer]]) -> None:
    for path, page in pages:
        taken = Taken(page.text)
        assert [script.attributes["src"] for script in taken.all("script")] == ["/static/theme.js", "/static/live.js"]
        for element in taken.elements:
            named = [name for name in element.attributes if name.startswith("on") or name in {"style", "srcdoc"}]
            assert not named, f"{path}: <{element.tag}> has {named}"
        assert not [*taken.all("style"), *taken.all("iframe"), *taken.all("object"), *taken.all("base")], path


def test_every_address_on_a_page_is_a_path_of_this_server(pages: list[tuple[str, Answer]]) -> None:
    for path, page in pages:
        for element in Taken(page.text).elements:
            for name in URL_ATTRIBUTES:
                found = element.attributes.get(name)
                if found is not None and name != "data-load":
                    fine = found.startswith("#") or (found.startswith("/") and not found.startswith("//"))
                    assert fine, f"{path}: {element}"
                    assert not set(found) & set("<>\"'` \n"), f"{path}: {element}"


def test_ids_are_unique_and_what_is_referred_to_is_there(pages: list[tuple[str, Answer]]) -> None:
    for path, page in pages:
        taken = Taken(page.text)
        ids = Counter(element.attributes["id"] for element in taken.elements if "id" in element.attributes)
        assert [name for name, times in ids.items() if times > 1] == [], path
        for element in taken.elements:
            for name in ("aria-labelledby", "aria-describedby", "for"):
                missing = set(element.attributes.get(name, "").split()) - set(ids)
                assert not missing, f"{path}: {element}"


def test_hidden_signs_reach_no_page_but_as_signs_that_are_seen(pages: list[tuple[str, Answer]]) -> None:
    shown = set()
    for path, page in pages:
        for element in Taken(page.text).elements:
            for name, value in element.attributes.items():
                if element.tag in {"option", "input"} and name == "value":
                    continue  # what a form sends back is what was there
                assert not set(value) & {"\u202e", "\u200b", "\u2028"}, f"{path}: {element}"
        text = Taken(page.text).text
        assert not set(text) & {"\u202e", "\u200b", "\u2028", "\0"}, path
        shown |= {sign for sign in ("[U+202E]", "[U+200B]", "[U+2028]") if sign in text}
    assert shown == {"[U+202E]", "[U+200B]", "[U+2028]"}


def test_a_name_is_isolated_from_the_direction_of_its_neighbours() -> None:
    taken = answer(InventedBoard(), "/runs").text
    for name in HOSTILE_NAMES[:5]:
        assert name not in taken or "<" not in name
    assert taken.count('<bdi class="name">') > 100


def test_a_link_to_a_file_leads_to_that_very_file_whatever_it_is_called() -> None:
    board = InventedBoard()
    rows = board.files("main", "training", "run-00000").rows
    links = [each.attributes["href"] for each in Taken(answer(board, RUN).text).all("a")]
    of_files = list(dict.fromkeys(link for link in links if "/file?path=" in link))
    assert {unquote(link.partition("path=")[2]) for link in of_files} == {row.path for row in rows}
    for link, found in zip(of_files, answers(board, of_files), strict=True):
        assert found.status == 200, link


def test_forms_are_shown_to_who_may_change_something_and_commands_to_everybody_else() -> None:
    board = InventedBoard()
    for path in ("/", RUN, "/watches/outbox", "/registries/main", "/pointers/main/training/latest"):
        nobody = Taken(answer(board, path).text)
        ada = Taken(answer(board, path, SIGNED_IN).text)
        posts = [form for form in ada.all("form") if form.attributes.get("method") == "post"]
        tokens = [field for field in ada.all("input") if field.attributes.get("name") == "csrf"]
        assert len(tokens) == len(posts) > 1
        assert {field.attributes["value"] for field in tokens} == {SIGNED_IN.csrf}
        assert not [form for form in nobody.all("form") if form.attributes.get("method") == "post"]
        assert "From the command line" in nobody.text
        assert "sealrun " in nobody.text


class MovedOften(InventedBoard):
    """Of the four generations of a pointer a page takes two."""

    def pointer_history(self, registry: str, experiment: str, name: str) -> Sequence[PointerMove]:
        return super().pointer_history(registry, experiment, name)[:2]


def test_a_page_says_where_the_older_moves_of_a_pointer_are() -> None:
    latest = "/pointers/main/training/latest"
    few, many = Taken(answer(InventedBoard(), latest).text).text, Taken(answer(MovedOften(), latest).text).text
    assert "Every move" in few
    assert "The newest 2 of 4" not in few
    assert "The newest 2 of 4; the others: sealrun pointer history training latest --registry main" in many


def test_a_form_names_what_it_changes_in_its_address() -> None:
    ada = Taken(answer(InventedBoard(), "/", SIGNED_IN).text)
    actions = {form.attributes["action"] for form in ada.all("form")}
    assert {"/actions/pause/registry/main", "/actions/pause/watch/outbox", "/actions/resume/watch/sweeps"} <= actions


def test_where_nothing_is_the_page_says_what_to_do() -> None:
    health, watch, registry, _plan, runs, pointers, events = answers(a_quiet_board(), QUIET_PAGES)
    assert "No run yet: drop a folder into /data/outbox" in Taken(health.text).text
    assert "No run yet: drop a folder into /data/outbox" in Taken(watch.text).text
    assert "Nothing waits." in Taken(registry.text).text
    assert "No run yet: drop a folder into a watched one (/data/outbox)" in Taken(runs.text).text
    assert "No pointer yet." in Taken(pointers.text).text
    assert "Nothing happened yet." in Taken(events.text).text


def test_alarms_come_before_everything_else_with_what_to_do_first() -> None:
    text = Taken(answer(InventedBoard(), "/").text).text
    assert text.index("registry-unreachable") < text.index("Registries")
    assert "First: bring the server or the disk back" in text
    assert 'href="/runbook#registry-unreachable"' in answer(InventedBoard(), "/").text


def test_an_alarm_that_is_quiet_says_so_and_settings_that_were_not_read_are_told() -> None:
    board = InventedBoard()
    assert "quiet since 1 min ago: over soon unless it comes back" in Taken(answer(board, "/").text).text
    assert "systemctl reload sealrun" not in Taken(answer(board, "/").text).text
    board.unread = "<b> was changed after the daemon read it"
    health = Taken(answer(board, "/").text)
    assert "was changed after the daemon read it" in health.text
    assert "systemctl reload sealrun" in health.text


def test_a_retired_run_is_brought_back_by_whoever_may() -> None:
    board = InventedBoard()
    board.retired.add("training/run-00000")
    nobody, ada = (answer(board, RUN, viewer) for viewer in (Viewer(), SIGNED_IN))
    assert nobody.status == ada.status == 404
    assert "sealrun undo training/run-00000 --registry main" in Taken(nobody.text).text
    assert not [form for form in Taken(nobody.text).all("form") if "undo" in form.attributes["action"]]
    (form,) = [form for form in Taken(ada.text).all("form") if "undo" in form.attributes["action"]]
    assert form.attributes["action"] == "/actions/undo/run/main/training/run-00000"
    fields = {each.attributes.get("name") for each in Taken(ada.text).all("input")}
    assert {"csrf", "next"} <= fields


def test_a_long_reason_is_cut_between_words_and_can_be_read_whole() -> None:
    board = InventedBoard()
    reason = " ".join(f"word{number}" for number in range(400))
    board.happen("run.rejected", "run-1", reason=reason)
    for path in ("/", "/events"):
        page = answer(board, path).text
        assert reason in Taken(page).text
        (summary,) = re.findall(r"<summary><bdi[^>]*>(word0 [^<]*)</bdi> …</summary>", page)
        assert summary.split()[-1] in reason.split()


def test_a_preview_that_was_not_verified_says_so() -> None:
    pages = [answer(InventedBoard(), f"{RUN}/file?path={name}").text for name in ("metrics.csv", "log.txt")]
    assert ["This preview is not verified" in page for page in pages] == [True, False]


def test_the_runbook_has_a_section_for_every_kind_of_alarm() -> None:
    ids = {element.attributes.get("id") for element in Taken(answer(InventedBoard(), "/runbook").text).elements}
    assert set(KINDS) <= ids


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/watches/nope", 404),
        ("/registries/nope", 404),
        ("/registries/nope/plan", 404),
        ("/runs/main/training/nope", 404),
        ("/runs/main/training/..%2F..%2Fetc", 404),
        (f"{RUN}/file?path=nope", 404),
        (f"{RUN}/file?path=..%2F..%2Fetc%2Fpasswd", 404),
        (f"{RUN}/file", 400),
        (f"{RUN}/picture?path=nope.png", 404),
        ("/pointers/main/training/nope", 404),
        ("/runs?page=0", 400),
        ("/runs?page=%3Cb%3E", 400),
        ("/runs?page=99999999999999999999", 400),
        ("/events?before=-1", 400),
        ("/static/..%2Fboard.py", 404),
        ("/static/nope.js", 404),
        ("/nope", 404),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(path: str, status: int) -> None:
    found = answer(InventedBoard(), path, headers={"Accept": "text/html"})
    assert (found.status, found.kind) == (status, "text/html")
    assert str(status) in Taken(found.text).text


def test_a_registry_that_is_down_is_a_page_that_says_so_and_the_health_page_stays() -> None:
    board = InventedBoard()
    board.down.add("main")
    runs, health, registry = answers(board, ["/runs", "/", "/registries/main"], headers={"Accept": "text/html"})
    assert runs.status == 503
    assert "connection refused" in Taken(runs.text).text
    assert (health.status, registry.status) == (200, 200)


@pytest.mark.parametrize("path", ["//elsewhere.example/runs", "/\\elsewhere.example", "https://elsewhere.example/", ""])
def test_no_page_links_to_the_server_that_a_strange_address_names(path: str) -> None:
    for viewer in (SIGNED_IN, Viewer(token=True)):
        text = render("error.html", viewer, here=path, status=503, title="x", reason="y")
        assert "elsewhere" not in text
        assert Taken(text).all("a")


def test_a_fragment_is_the_same_sections_without_their_frame() -> None:
    board = InventedBoard()
    for path in EVERY_PAGE:
        whole, part = Taken(answer(board, path).text), Taken(answer(board, path, headers={"X-Fragment": "1"}).text)
        live = [each.attributes["id"] for each in whole.elements if "data-live" in each.attributes]
        assert live == [each.attributes["id"] for each in part.elements if "data-live" in each.attributes]
        assert not part.all("script")
        assert not part.all("nav") or path.startswith(("/runs", "/events", "/watches", "/registries"))


def test_pictures_are_answered_as_pictures_and_nothing_else_is() -> None:
    picture, svg, lie = answers(
        InventedBoard(),
        [f"{RUN}/picture?path={name}" for name in ("plots%2Floss.png", "plots%2Fhostile.svg", "report.html")],
    )
    assert picture.kind == "image/png"
    for found in (picture, svg, lie):
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in found.headers["content-security-policy"]
    for found in (svg, lie):
        assert found.kind == "image/svg+xml"
        assert "not a picture" in found.text
        assert "owned" not in found.text


def test_svg_and_html_of_a_run_are_shown_as_text() -> None:
    for name in ("plots%2Fhostile.svg", "report.html"):
        taken = Taken(answer(InventedBoard(), f"{RUN}/file?path={name}").text)
        assert "owned" in taken.text
        assert not taken.all("circle")
        assert [image.attributes["src"] for image in taken.all("img")] == ["/static/icon.svg"]


def test_pages_of_fifty_thousand_runs_have_the_same_length() -> None:
    board = InventedBoard(runs=3000)
    first, middle, past = answers(board, ["/runs", "/runs?page=30", "/runs?page=5000"])
    assert len(Taken(first.text).all("tr")) == len(Taken(middle.text).all("tr")) == 51
    assert 'href="/runs?registry=main&amp;page=31"' in middle.text
    assert 'href="/runs?registry=main&amp;page=29"' in middle.text
    assert "Nothing found" in Taken(past.text).text


def test_a_filter_is_kept_from_page_to_page() -> None:
    found = answer(InventedBoard(), "/runs?status=success&search=run%26x%3D1&experiment=training")
    assert 'value="run&amp;x=1"' in found.text
    paged = answer(InventedBoard(runs=1000), "/runs?status=success&search=run")
    assert 'href="/runs?registry=main&amp;status=success&amp;search=run&amp;page=2"' in paged.text


def test_static_files_are_sent_once() -> None:
    first = answer(InventedBoard(), "/static/page.css")
    again = answer(InventedBoard(), "/static/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, first.kind, again.status) == (200, "text/css", 304)


def test_every_command_on_a_page_is_one_that_the_command_line_takes() -> None:
    board = InventedBoard()
    found = set()
    for path in EVERY_PAGE:
        text = answer(board, path).text
        found |= {html.unescape(line) for line in re.findall(r"<code>(sealrun [a-z][^<]*)</code>", text)}
    assert len(found) > 10
    for line in found:
        _, *words = shlex.split(line)
        assert taken(words), line


def taken(words: list[str]) -> bool:
    """Whether there is such a command with such options. Nothing is run."""
    command: click.Command = root
    context = click.Context(command)
    try:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            _, found, words = command.resolve_command(context, words)
            assert found is not None
            command, context = found, click.Context(found, parent=context)
        _, left, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError:
        return False
    return not left
