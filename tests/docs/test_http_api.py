"""The page of the HTTP API names every route with its parameters, and no other; its examples are answered."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.builders.houses import House
from tests.builders.serving import TOKEN, served
from tests.docs.pages import DOCS, fences

from sealrun.bootstrap.daemon.acting import Actor
from sealrun.bootstrap.parts import Parts
from sealrun.web import actions
from sealrun.web.openapi import document

PAGE = DOCS / "reference" / "http-api.md"
DOCUMENT: Mapping[str, Any] = json.loads(document())
ROUTES = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
_SECTION = re.compile(r"(?ms)^### ((?:GET|POST) /\S+)\n(.*?)(?=^#|\Z)")
_ROW = re.compile(r"(?m)^\| `([\w-]+)` \|")
SECTIONS = dict(_SECTION.findall(PAGE.read_text()))


def test_the_page_and_the_document_have_the_same_routes() -> None:
    assert SECTIONS.keys() == ROUTES.keys()


@pytest.mark.parametrize("route", ROUTES)
def test_every_parameter_and_field_of_a_route_is_in_its_table(route: str) -> None:
    body = ROUTES[route].get("requestBody", {"content": {"application/json": {"schema": {"properties": {}}}}})
    fields = body["content"]["application/json"]["schema"]["properties"]
    in_path = re.findall(r"\{(\w+)\}", route)
    named = [each["name"] for each in ROUTES[route].get("parameters", [])]
    wanted = {*fields} if route.startswith("POST") else {*named}
    assert set(_ROW.findall(SECTIONS[route])) == wanted
    assert set(in_path) <= set(named)


def examples() -> Iterator[list[str]]:
    """The curl lines of the page, as words."""
    for fence in fences(PAGE):
        if fence.language == "sh":
            yield from (shlex.split(line.replace("$TOKEN", TOKEN)) for line in fence.text.splitlines())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    yield made
    made.close()


def test_every_example_is_answered(house: House) -> None:
    def open_parts() -> Parts:
        return Parts(Path(house.folder / "state"), {"main": house.main}, [house.watch])

    run_id = house.publish().partition("/")[2]
    acting = actions.routes(Actor(house.journal, house.clock, lambda: house.parts, open_parts))
    count = 0
    with served(house.board, token=TOKEN, more=acting) as url:
        for words in examples():
            assert words[0] == "curl"
            where = next(word for word in words if word.startswith("http://"))
            request = Request(  # noqa: S310 - our own server
                where.replace("http://127.0.0.1:9478", url).replace("RUN_ID", run_id),
                method="POST" if "POST" in words else "GET",
                data=words[words.index("-d") + 1].encode() if "-d" in words else None,
                headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            )
            with urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
                assert answer.status == 200
                count += bool(answer.read())
    assert count == len(list(examples())) > 10
