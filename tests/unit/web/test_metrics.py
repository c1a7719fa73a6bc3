"""`/metrics` over HTTP: formats, compression, and who may ask."""

from __future__ import annotations

import gzip
import threading
from typing import cast

from prometheus_client.parser import text_string_to_metric_families
from tests.builders.sites import TOKEN, a_site

from sealrun.adapters.telling.exposition import answer_of
from sealrun.domain.errors import UnavailableError
from sealrun.domain.oversight.metering import SEALED, Sample
from sealrun.web.board import Board
from sealrun.web.metrics import routes

NO_BOARD = cast("Board", None)
THREADS: list[str] = []


def answer(accept: str) -> tuple[bytes, str]:
    THREADS.append(threading.current_thread().name)
    return answer_of([Sample(SEALED, ("w",), 3)], [], accept)


def test_a_scrape_gets_the_text_format_from_a_thread_beside_the_loop() -> None:
    with a_site(NO_BOARD, routes(answer)) as site:
        found = site.get("/metrics")
    assert found.status == 200
    assert found.headers["Content-Type"].startswith("text/plain; version=")
    assert "charset=utf-8" in found.headers["Content-Type"]
    assert found.headers["Cache-Control"] == "no-store"
    assert "Content-Encoding" not in found.headers
    names = {family.name for family in text_string_to_metric_families(found.text)}
    assert "sealrun_watch_runs_sealed" in names
    assert THREADS[-1].startswith("sealrun-http_")


def test_openmetrics_comes_for_the_asking() -> None:
    with a_site(NO_BOARD, routes(answer)) as site:
        found = site.get("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"})
    assert found.headers["Content-Type"].startswith("application/openmetrics-text")
    assert found.body.endswith(b"# EOF\n")


def test_gzip_is_sent_where_it_is_taken() -> None:
    with a_site(NO_BOARD, routes(answer)) as site:
        for header in ("gzip", "deflate, GZIP;q=0.5", "br, gzip ; q=1.0"):
            found = site.get("/metrics", {"Accept-Encoding": header})
            assert found.headers["Content-Encoding"] == "gzip"
            assert b"sealrun_watch_runs_sealed_total" in gzip.decompress(found.body)
        for header in ("identity", "gzip;q=0", "gzip; q=0.0", "notgzip", "deflate"):
            found = site.get("/metrics", {"Accept-Encoding": header})
            assert "Content-Encoding" not in found.headers, header
            assert b"sealrun_watch_runs_sealed_total" in found.body


def test_the_token_is_asked_for_where_there_is_one() -> None:
    with a_site(NO_BOARD, routes(answer), token=TOKEN) as site:
        assert site.get("/metrics").status in {401, 403}
        assert site.get("/metrics", {"Authorization": "Bearer wrong"}).status in {401, 403}
        assert site.get("/metrics", site.bearer).status == 200


def test_a_journal_that_cannot_be_read_is_an_answer_that_says_so() -> None:
    def failing(_accept: str) -> tuple[bytes, str]:
        raise UnavailableError("the journal is busy")

    with a_site(NO_BOARD, routes(failing)) as site:
        assert site.get("/metrics").status == 503


def test_nothing_is_changed_there() -> None:
    with a_site(NO_BOARD, routes(answer), token=TOKEN) as site:
        assert site.post("/metrics", {}, site.bearer).status in {403, 405}
