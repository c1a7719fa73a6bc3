"""The API of a daemon's board over HTTP, with a real registry behind it: what its document says is what it does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from tests.builders.houses import A_RUN, LARGE, PNG, House
from tests.builders.serving import TOKEN, served

from sealrun.bootstrap.daemon.acting import Actor
from sealrun.bootstrap.parts import Parts
from sealrun.web import actions, api
from sealrun.web.openapi import document
from sealrun.web.operations import OPERATIONS

DOCUMENT = json.loads(document())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
EXAMPLES = 10


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    made.publish(tags=["nightly"])
    made.publish({"large": b"l" * LARGE}, experiment="eval", status="failed")
    made.settle("waits")
    made.board.sample(lambda: None)
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(house: House) -> Iterator[str]:
    with served(house.board) as where:
        yield where


def get(url: str, **headers: str) -> tuple[int, Message, bytes]:
    """Ask, and return whatever comes."""
    try:
        with urlopen(Request(url, headers=headers), timeout=60) as answer:  # noqa: S310 - our own server
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def run_of(house: House, experiment: str = "train") -> str:
    """The path of an experiment's one run."""
    (row,) = [row for _, row in house.board._look("main").lists.all(experiment)]
    return f"/api/v1/registries/main/runs/{experiment}/{row.run_id}"


def test_the_document_is_valid_and_served(url: str) -> None:
    status, headers, body = get(f"{url}/api/v1/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == DOCUMENT
    SCHEMA.validate()


def test_the_document_and_the_routes_are_the_same(house: House) -> None:
    answered = [*api.routes(), *(each for each in acting(house) if each.path.startswith("/api/"))]
    routes = {(route.method.lower(), route.path) for route in answered}
    documented = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert routes == documented


FILES = {"file": "log.txt", "text": "log.txt", "table": "table.csv", "picture": "plots/loss.png"}


@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS])
def test_every_operation_answers_as_its_schema_says(house: House, url: str, name: str) -> None:
    run_id = run_of(house).rpartition("/")[2]
    known = {"registry": "main", "experiment": "train", "run_id": run_id, "watch": "drops", "pointer": "latest"}
    operation = SCHEMA.find_operation_by_id(name)
    wanted = next(each for each in OPERATIONS if each.name == name)
    case = operation.Case(
        path_parameters={each.name: known[each.name] for each in wanted.in_path},
        query={"path": FILES[name]} if name in FILES else {},
    )
    answer = case.call_and_validate(base_url=url)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == ["nosniff"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/registries/nobody/runs", 404, "nobody"),
        ("/api/v1/registries/main/runs?page=0", 400, "page"),
        ("/api/v1/registries/main/runs?page=1&page=2", 400, "twice"),
        ("/api/v1/registries/main/runs?size=1001", 400, "size"),
        ("/api/v1/registries/main/runs?wrong=1", 400, "wrong"),
        ("/api/v1/registries/main/runs?status=great", 400, "status"),
        ("/api/v1/registries/main/runs?search=%FF%FE", 200, "rows"),
        ("/api/v1/registries/main/runs?page=%D9%A1", 400, "page"),
        ("/api/v1/registries/main/runs/train/nobody", 404, "no sealed run"),
        ("/api/v1/registries/main/runs/../nobody", 400, "name"),
        ("/api/v1/registries/main/runs/%2e%2e/x", 400, "name"),
        ("/api/v1/registries/cold/runs", 503, "cold"),
        ("/api/v1/events?after=-1", 400, "after"),
        ("/api/v1/events?limit=99999999999999999999999", 400, "limit"),
        ("/api/v1/watches/nobody/pending", 404, "nobody"),
        ("/api/v1/nothing", 404, ""),
    ],
)
def test_what_is_wrong_is_a_problem_that_says_what(url: str, path: str, status: int, said: str) -> None:
    found, headers, body = get(f"{url}{path}")
    assert found == status, body
    assert said in body.decode()
    if status != 200:
        assert headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


def test_a_file_is_an_attachment_that_no_browser_runs(house: House, url: str) -> None:
    for path in A_RUN:
        status, headers, body = get(f"{url}{run_of(house)}/file?path={quote(path)}")
        assert (status, body) == (200, A_RUN[path])
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["Content-Security-Policy"].startswith("sandbox")
        assert headers["Content-Disposition"].startswith("attachment; ")
    name = next(path for path in A_RUN if '"' in path)
    _, headers, _ = get(f"{url}{run_of(house)}/file?path={quote(name)}")
    assert headers["Content-Disposition"] == (
        f"attachment; filename=\"a _name__ with _ _n_code_.bin\"; filename*=UTF-8''{quote(name, safe='')}"
    )


def test_a_picture_is_only_what_its_bytes_say(house: House, url: str) -> None:
    status, headers, body = get(f"{url}{run_of(house)}/picture?path=plots/loss.png")
    assert (status, headers["Content-Type"], body) == (200, "image/png", PNG)
    for path in ("fake.png", "evil.svg", "page.html"):
        status, headers, _ = get(f"{url}{run_of(house)}/picture?path={path}")
        assert (status, headers["Content-Type"]) == (400, "application/problem+json")


def test_a_large_file_is_sent_whole_and_for_head_not_at_all(house: House, url: str) -> None:
    path = f"{run_of(house, 'eval')}/file?path=large"
    status, headers, body = get(f"{url}{path}")
    assert (status, headers["Content-Length"], body) == (200, str(LARGE), b"l" * LARGE)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("HEAD", path)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Length"), answer.read()) == (200, str(LARGE), b"")
    connection.close()


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=300000-", 300_000, LARGE),
        ("bytes=-7", LARGE - 7, LARGE),
        (f"bytes=5-{LARGE * 2}", 5, LARGE),
        (f"bytes=-{LARGE * 2}", 0, LARGE),
        ("bytes=262143-262145", 262_143, 262_146),
    ],
)
def test_one_range_of_a_file_is_sent(house: House, url: str, asked: str, begin: int, end: int) -> None:
    path = f"{run_of(house, 'eval')}/file?path=large"
    status, headers, body = get(f"{url}{path}", Range=asked)
    assert (status, len(body)) == (206, end - begin)
    assert headers["Content-Range"] == f"bytes {begin}-{end - 1}/{LARGE}"
    assert get(f"{url}{path}", Range=asked, **{"If-Range": headers["ETag"]})[0] == 206
    assert get(f"{url}{path}", Range=asked, **{"If-Range": '"another"'})[0] == 200


def test_the_bytes_of_a_range_are_those_of_the_file(house: House, url: str) -> None:
    path = f"{run_of(house)}/file?path=log.txt"
    whole = A_RUN["log.txt"]
    assert get(f"{url}{path}", Range="bytes=1-3")[2] == whole[1:4]
    assert get(f"{url}{path}", Range="bytes=-2")[2] == whole[-2:]
    status, headers, _ = get(f"{url}{path}", Range=f"bytes={len(whole)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    for asked in ("bytes=0-1,3-4", "bytes=-", "bytes=3-1", "lines=0-1", "bytes=a-b", "bytes=0-99999999999999999999"):
        status, _, body = get(f"{url}{path}", Range=asked)
        assert (status, body) == (200, whole)


def test_no_more_files_than_there_is_memory_for_are_sent_at_once(house: House) -> None:
    path = f"{run_of(house, 'eval')}/file?path=large"
    with served(house.board, downloads=0) as url:
        status, headers, _ = get(f"{url}{path}")
        assert (status, headers["Content-Type"], headers["Retry-After"]) == (503, "application/problem+json", "30")
        assert get(f"{url}{run_of(house)}/text?path=log.txt")[0] == 200
    with served(house.board, downloads=1) as url:
        assert [get(f"{url}{path}")[0] for _ in range(3)] == [200] * 3


def test_a_damaged_file_never_arrives_whole(house: House, url: str) -> None:
    made = house.publish({"rotten": b"r" * LARGE}, experiment="rot")
    (found,) = [path for path in house.folder.joinpath("main").rglob("*") if path.is_file() and holds(path)][:1]
    found.chmod(0o644)
    with found.open("r+b") as file:
        file.seek(LARGE - 1)
        file.write(b"!")
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=100-"}):
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            get(f"{url}/api/v1/registries/main/runs/{made}/file?path=rotten", **headers)


def holds(path: Path) -> bool:
    """Whether it is the object of the file that is to rot."""
    return path.stat().st_size == LARGE and path.read_bytes()[:1] == b"r" and "objects" in path.parts


# ---------------------------------------------------------------- whatever the document allows, and what it does not


def acting(house: House) -> list[web.RouteDef]:
    """The actions, done to the house."""

    def open_parts() -> Parts:
        return Parts(house.folder / "state", {"main": house.main, "cold": house.cold}, [house.watch])

    return actions.routes(Actor(house.journal, house.clock, lambda: house.parts, open_parts))


@pytest.fixture(scope="module")
def guarded(house: House) -> Iterator[str]:
    with served(house.board, token=TOKEN, more=acting(house)) as where:
        yield where


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_any_request_is_answered_as_documented(case: Case[Any], guarded: str) -> None:
    case.call_and_validate(base_url=guarded, headers={"Authorization": f"Bearer {TOKEN}"})
