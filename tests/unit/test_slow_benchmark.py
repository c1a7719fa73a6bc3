"""Waves of requests, and the ways to a server that record and delay them. The clock is not looked at."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from benchmarks.waves import describe, kind, table, waves
from tests.servers.delaying import Distance, Line, delaying_requests
from tests.servers.forwarding import RequestReader
from tests.servers.recording import Exchange, Request, recording_requests

ATTEMPT = "20260117T000000Z-0123456789abcdef"


def asked(method: str, path: str = "/b/registry/registry.json", query: str = "") -> Request:
    return Request(method, path, query, 0)


def exchange(begun: float, ended: float, request: Request | None = None) -> Exchange:
    return Exchange(request or asked("GET"), begun, ended)


def shapes_of(*times: tuple[float, float]) -> list[tuple[float, float, int]]:
    return [(wave.before, wave.seconds, len(wave.requests)) for wave in waves(exchange(*each) for each in times)]


def test_requests_one_after_the_other_are_a_wave_each() -> None:
    assert shapes_of((0, 1), (1, 2), (4, 5)) == [(0, 1, 1), (0, 1, 1), (2, 1, 1)]


def test_requests_in_flight_together_are_one_wave() -> None:
    assert shapes_of((0, 2), (1, 3), (1.5, 4)) == [(0, 4, 3)]


def test_there_are_as_many_waves_as_the_longest_chain_of_requests_that_waited_for_each_other() -> None:
    long, *chain = (0.0, 10.0), (0.0, 1.0), (2.0, 3.0), (4.0, 5.0)
    assert len(shapes_of(long, *chain)) == len(chain)


def test_no_requests_are_no_waves() -> None:
    assert waves([]) == []
    assert table([]) == ["no requests"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked("GET"), "GET registry.json"),
        (asked("PUT", f"/b/r/attempts/{ATTEMPT}/intent.json"), "PUT intent"),
        (asked("HEAD", f"/b/r/attempts/{ATTEMPT}/retired.json"), "HEAD retired"),
        (asked("PUT", f"/b/r/store/packs/sha256/aa/bb/cc.{ATTEMPT}.zip"), "PUT pack"),
        (asked("PUT", f"/b/r/store/objects/sha256/aa/bb/cc.{ATTEMPT}", "partNumber=1&uploadId=x"), "PUT part object"),
        (asked("PUT", f"/b/r/experiments/e/runs/r1/seals/{ATTEMPT}.json"), "PUT seal"),
        (asked("PUT", "/b/r/experiments/e/runs/r1/run.json"), "PUT run folder: run.json"),
        (asked("PUT", f"/b/r/experiments/e/index/pending/{ATTEMPT}.json"), "PUT row"),
        (asked("GET", "/b", "list-type=2&prefix=r%2Fexperiments%2Fe%2Fpointers%2Flatest%2F"), "LIST latest"),
        (asked("PUT", "/b/r/experiments/e/pointers/latest.json"), "PUT latest, as people see it"),
        (asked("GET", "/b", "list-type=2&prefix=r%2Fgc%2F"), "LIST what is condemned"),
        (asked("PUT", "/b/somebody/elses"), "PUT"),
    ],
)
def test_a_request_is_told_by_its_purpose(request_: Request, expected: str) -> None:
    assert describe(request_) == expected


def test_parts_lists_and_bulk_deletes_have_kinds_of_their_own() -> None:
    found = [kind(asked(*each)) for each in (("POST", "/b/k", "uploads"), ("POST", "/b/k", "uploadId=x"))]
    assert found == ["BEGIN PARTS", "END PARTS"]
    assert kind(asked("POST", "/b", "delete")) == "DELETE many"
    assert kind(asked("DELETE", "/b/k", "uploadId=x")) == "ABORT PARTS"


def test_requests_are_found_however_their_bytes_are_cut() -> None:
    sent = b"PUT /b/k?x=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /" + b"GET /b HTTP/1.1\r\n\r\n"
    expected = [Request("PUT", "/b/k", "x=1", 5), Request("GET", "/b", "", 0)]
    for size in (1, 7, len(sent)):
        reader = RequestReader()
        pieces = (sent[start : start + size] for start in range(0, len(sent), size))
        assert [request for piece in pieces for request in reader.feed(piece)] == expected


def test_a_body_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown length"):
        RequestReader().feed(b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_a_line_is_shared_by_all_who_send() -> None:
    line = Line()
    assert [line.reserve(100, 50.0, now) for now in (0.0, 0.0, 1.0, 100.0)] == [2.0, 4.0, 5.0, 2.0]


def test_a_line_without_a_limit_costs_nothing() -> None:
    assert Line().reserve(1 << 40, float("inf"), 7.0) == 0.0


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@contextmanager
def an_echo() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def said_back(url: str, *bodies: bytes) -> list[bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    answers = []
    for body in bodies:
        connection.request("PUT", "/b/key", body)
        answers.append(connection.getresponse().read())
    connection.close()
    return answers


def test_a_recording_proxy_passes_everything_on_and_tells_what_it_was() -> None:
    bodies = (b"", b"one", b"x" * 300_000)
    with an_echo() as url, recording_requests(url) as proxy:
        assert said_back(proxy.url, *bodies) == list(bodies)
        seen = proxy.take_exchanges()
        assert [each.request for each in seen] == [Request("PUT", "/b/key", "", len(body)) for body in bodies]
        assert all(one.ended <= two.begun for one, two in pairwise(seen))
        assert all(each.received >= len(body) for each, body in zip(seen, bodies, strict=True))
        assert proxy.take() == []
        assert proxy.connections == 1


def test_a_delaying_proxy_holds_each_request_back_while_it_is_told_to() -> None:
    distance = Distance(latency_s=0.05, bytes_per_s=1e6)
    with an_echo() as url, delaying_requests(url) as proxy:
        with proxy.slowed(distance):
            assert said_back(proxy.url, b"near", b"x" * 20_000) == [b"near", b"x" * 20_000]
        slow = proxy.take_exchanges()
        assert said_back(proxy.url, b"far") == [b"far"]
    assert all(each.ended - each.begun >= distance.latency_s for each in slow)
    assert slow[1].ended - slow[1].begun >= distance.latency_s + 2 * 20_000 / distance.bytes_per_s
