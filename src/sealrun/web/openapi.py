"""The OpenAPI document of the API: made from the operations and from the structs that they return."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from sealrun import __version__
from sealrun.web.answering import Problem
from sealrun.web.documented_actions import ACTIONS, Action, Did
from sealrun.web.operations import BASE, OPERATIONS, Operation
from sealrun.web.parameters import NAME, Parameter

DOCUMENT_PATH = f"{BASE}/openapi.json"
_MOST_LETTERS = 512
"""Longer texts need not fit into a request line, whatever they are made of."""
_REFS = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "A parameter is wrong, unknown or given twice; `detail` says which, and what is expected.",
    "401": "The settings have a token, and the request did not show it.",
    "403": "Asked for by another web page, or a change where no token is configured.",
    "404": "There is no such thing.",
    "409": "It cannot be done as things stand; `detail` says why.",
    "413": "The body is too large.",
    "415": "The body is neither a JSON object nor a form.",
    "421": "The name in `Host` is not one of the daemon's.",
    "416": "The range begins behind the end of the file; `Content-Range` says how long that is.",
    "500": "What is stored contradicts itself, or something unexpected went wrong.",
    "503": "The registry cannot be reached, or the daemon is starting; try again after `Retry-After` seconds.",
}
_OF_RANGES: tuple[dict[str, Any], ...] = (
    {
        "name": "Range",
        "in": "header",
        "description": "One range of bytes, such as `bytes=1000-`. Anything else is answered with the whole file.",
        "required": False,
        "schema": {"type": "string"},
    },
    {
        "name": "If-Range",
        "in": "header",
        "description": "The `ETag` of the file whose range is meant; of another one all is sent.",
        "required": False,
        "schema": {"type": "string"},
    },
)
_READING = ("400", "401", "403", "404", "409", "421", "500", "503")
_OF_ACTION = ("400", "401", "403", "404", "409", "413", "415", "421", "500", "503")


@cache
def document() -> bytes:
    """Return the document as JSON. It is the same for as long as the process runs."""
    answers = [operation.answer for operation in OPERATIONS if operation.answer is not None]
    made, components = msgspec.json.schema_components([*answers, Problem, Did], ref_template=_REFS)
    schemas = iter(made)
    paths: dict[str, Any] = {DOCUMENT_PATH: {"get": _of_document()}}
    for operation in OPERATIONS:
        content = _bytes_of(operation) if operation.answer is None else _json(next(schemas))
        paths[f"{BASE}{operation.path}"] = {"get": _of_operation(operation, content)}
    for action in ACTIONS:
        paths[f"{BASE}/actions{action.path}"] = {"post": _of_action(action)}
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "sealrun",
            "version": __version__,
            "description": "What one sealrun daemon shows of itself and of its registries. Times are RFC 3339 in UTC, "
            "sizes are bytes, null means not known or not applicable.",
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `token` of `[http]` in the settings. Without one, reading needs nothing, and "
                    "nothing can be changed.",
                }
            },
        },
    }
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()


def _of_document() -> dict[str, Any]:
    return {
        "operationId": "openapi",
        "summary": "This document.",
        "security": [{"token": []}, {}],
        "responses": {"200": {"description": "The document.", "content": _json({"type": "object"})}, **_problems(())},
    }


def _of_operation(operation: Operation, content: dict[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(each) for each in operation.parameters]
    answers: dict[str, Any] = {"200": {"description": operation.summary, "content": content}, **_problems(_READING)}
    if operation.name == "file":
        parameters += [dict(each) for each in _OF_RANGES]
        answers |= {"206": {"description": "The range that was asked for.", "content": content}, **_problems(("416",))}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{"token": []}, {}],
        "parameters": parameters,
        "responses": answers,
    }


def _of_action(action: Action) -> dict[str, Any]:
    fields = {name: {"type": "string", "description": text} for name, text in action.fields.items()}
    more = {"type": ["string", "null"], "description": "Left out of account."}
    schema: dict[str, Any] = {"type": "object", "properties": fields, "additionalProperties": more}
    if action.required:
        schema["required"] = list(action.required)
    return {
        "operationId": action.name,
        "summary": action.summary,
        "security": [{"token": []}],
        "parameters": [_parameter(each) for each in action.parameters],
        "requestBody": {"required": bool(action.required), "content": _json(schema)},
        "responses": {
            "200": {"description": "It was done.", "content": _json({"$ref": _REFS.format(name="Did")})},
            **_problems(_OF_ACTION),
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.help,
        "required": parameter.required,
        "schema": _schema(parameter),
    }


def _schema(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind == "number":
        bounds = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
        return bounds if parameter.default is None else {**bounds, "default": parameter.default}
    if parameter.kind == "name":
        return {"type": "string", "pattern": NAME}
    if parameter.choices:
        return {"type": "string", "enum": list(parameter.choices)}
    return {"type": "string", "minLength": int(parameter.required), "maxLength": min(parameter.longest, _MOST_LETTERS)}


def _bytes_of(operation: Operation) -> dict[str, Any]:
    if operation.name == "picture":
        return {f"image/{kind}": {} for kind in ("png", "jpeg", "gif", "webp")}
    return {"application/octet-stream": {}}


def _problems(statuses: tuple[str, ...]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REFS.format(name="Problem")}}}
    return {
        **{status: {"description": _PROBLEMS[status], "content": content} for status in statuses},
        "default": {"description": "It was not done; `detail` says why.", "content": content},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
