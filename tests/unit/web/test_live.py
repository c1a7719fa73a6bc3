"""Server-sent events: what happens reaches whoever listens, and nobody holds anybody up."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from tests.builders.boards import InventedBoard
from tests.builders.sites import TOKEN, Site, a_site

from sealrun.domain.errors import UnavailableError
from sealrun.web.live import MOST_LISTENERS

_PATIENCE_S = 60.0


class Listener:
    """A browser that listens."""

    def __init__(self, site: Site, *headers: str) -> None:
        self.connection = socket.create_connection((site.host, site.port), timeout=_PATIENCE_S)
        lines = ["GET /live HTTP/1.1", "Host: localhost", *headers, "", ""]
        self.connection.sendall("\r\n".join(lines).encode())
        self.text = ""

    def until(self, mark: str) -> str:
        while mark not in self.text:
            chunk = self.connection.recv(65536)
            assert chunk, self.text
            self.text += chunk.decode()
        return self.text

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def board() -> InventedBoard:
    return InventedBoard(runs=0)


@pytest.fixture
def site(board: InventedBoard) -> Iterator[Site]:
    with a_site(board) as running:
        yield running


def _listener(site: Site, *headers: str) -> Listener:
    listener = Listener(site, *headers)
    listener.until("retry: 3000")
    return listener


def _hear_something(listener: Listener, board: InventedBoard) -> None:
    """Whoever has just come hears of what happens from then on: sooner or later."""
    listener.connection.settimeout(0.5)
    for _ in range(100):
        board.happen("run.sealed", "anything")
        try:
            listener.until("event: changed")
            break
        except TimeoutError:
            continue
    listener.connection.settimeout(_PATIENCE_S)


def test_what_happens_is_told_to_everybody_with_its_number(site: Site, board: InventedBoard) -> None:
    one, other = _listener(site), _listener(site)
    _hear_something(one, board)
    number = board.happen("run.published", "training/run-7", registry="main")
    for listener in (one, other):
        text = listener.until(f"id: {number}\n")
        listener.until(f"event: changed\ndata: {number}\n\n")
        (line,) = [line for line in text.splitlines() if line.startswith("data: {") and f'"id":{number},' in line]
        event = json.loads(line.removeprefix("data: "))
        assert (event["kind"], event["subject"], event["fields"]) == (
            "run.published",
            "training/run-7",
            {"registry": "main"},
        )
        listener.close()


def test_who_was_cut_off_goes_on_where_it_was(site: Site, board: InventedBoard) -> None:
    last = board.event_list[-1].id
    back = _listener(site, f"Last-Event-ID: {last - 2}")
    text = back.until(f"event: changed\ndata: {last}\n\n")
    assert [line for line in text.splitlines() if line.startswith("id: ")] == [f"id: {last - 1}", f"id: {last}"]
    back.close()


@pytest.mark.parametrize("last", ["", "0", "-1", "abc", "9" * 40, "\N{ARABIC-INDIC DIGIT SEVEN}", str(10**17)])
def test_a_number_that_is_none_is_where_nobody_was(site: Site, last: str) -> None:
    listener = _listener(site, f"Last-Event-ID: {last}")
    assert "id:" not in listener.text
    listener.close()


def test_a_journal_that_cannot_be_read_for_a_moment_ends_nothing(site: Site, board: InventedBoard) -> None:
    listener = _listener(site)
    _hear_something(listener, board)
    events = board.events
    failures: list[int] = []

    def failing(after: int = 0, limit: int = 100) -> object:
        if len(failures) < 2:
            failures.append(after)
            raise UnavailableError("the journal is busy")
        return events(after, limit)

    board.events = failing  # type: ignore[method-assign,assignment] # it fails twice
    number = board.happen("run.sealed", "b")
    listener.until(f"id: {number}\n")
    assert len(failures) == 2
    listener.close()


def test_a_bounded_number_listens_and_a_place_becomes_free_again(site: Site) -> None:
    listeners = [_listener(site) for _ in range(MOST_LISTENERS)]
    refused = site.get("/live")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    listeners.pop().close()
    for _ in range(600):
        late = Listener(site)
        if "200 OK" in late.until("\r\n\r\n"):
            break
        late.close()
    else:
        raise AssertionError("no place became free")
    for listener in (*listeners, late):
        listener.close()


def test_who_listens_has_to_know_the_token(board: InventedBoard) -> None:
    with a_site(board, token=TOKEN) as site:
        assert site.get("/live").status == 401
        listener = Listener(site, f"Authorization: Bearer {TOKEN}")
        assert "200 OK" in listener.until("retry:")
        listener.close()


def test_who_listened_by_a_session_that_was_ended_is_cut_off(board: InventedBoard) -> None:
    with a_site(board, token=TOKEN) as site:
        browser = site.sign_in()
        listener = Listener(site, f"Cookie: {browser['Cookie']}")
        listener.until("retry:")
        csrf = site.get("/", browser).text.partition('name="csrf" value="')[2].partition('"')[0]
        assert site.post("/logout", {"csrf": csrf}, browser).status == 303
        while listener.connection.recv(65536):
            pass  # the answer ends, and is not begun again
        listener.close()
        assert site.get("/live", browser).status == 401
