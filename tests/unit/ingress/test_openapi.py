"""The description of the API says what the server does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route, Router

from ingress.auth import Scope
from ingress.endpoint import operations_of
from ingress.errors import ValidationFailed
from ingress.history import HISTORY_PATTERN, parse_history
from ingress.openapi.document import OPERATIONS, openapi_document, path_of
from ingress.routes.openapi import _FILES
from storage.cursors import CURSOR_PATTERN, decode_cursor, encode_cursor
from tests.unit.ingress.conftest import World

UNDESCRIBED = ("/docs/", "/console")
"""Pages, and what browsers are given for them."""


def routes_of(world: World) -> list[Route]:
    router = world.app.app
    assert isinstance(router, Router)
    return [it for it in router.routes if isinstance(it, Route) and operations_of(it)]


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return openapi_document(routes_of(world))


async def test_it_is_valid_openapi(world: World, document: dict[str, Any]) -> None:
    answer = await world.client.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_is_in_it_with_the_scope_that_it_needs(
    world: World, document: dict[str, Any]
) -> None:
    served = {
        (method, path_of(route)): operation
        for route in routes_of(world)
        for method, operation in operations_of(route).items()
        if not path_of(route).startswith(UNDESCRIBED)
    }
    assert served.keys() == OPERATIONS.keys()
    for (method, path), operation in served.items():
        described = document["paths"][path][method.lower()]
        scopes = [] if operation.scope is None else [{"token": [operation.scope.value]}]
        assert described["security"] == scopes
        assert ("requestBody" in described) == operation.takes_document
        assert {"200", "405", "500"} <= described["responses"].keys()
        assert ({"401", "403", "429", "503"} <= described["responses"].keys()) == (
            operation.scope in (Scope.MESSAGES, Scope.ADMIN)
        )
    names = [it.name for it in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_its_examples_are_what_its_schemas_say(document: dict[str, Any]) -> None:
    def check(media: dict[str, Any]) -> int:
        schema = {**media["schema"], "components": document["components"]}
        validator = jsonschema_rs.validator_for(schema)
        examples = [it["value"] for it in media.get("examples", {}).values()]
        if "example" in media:
            examples.append(media["example"])
        for example in examples:
            validator.validate(example)
        return len(examples)

    count = 0
    for item in document["paths"].values():
        for operation in item.values():
            count += sum(map(check, operation.get("requestBody", {}).get("content", {}).values()))
            for response in operation["responses"].values():
                count += sum(map(check, response.get("content", {}).values()))
    assert count >= 8


PARTS = ["<USER>", "</USER>", "<user>", "</User>", "<BOT>", "</BOT>", "<br>", "<BR />", " ", "\n"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = st.lists(
    st.sampled_from([*PARTS, "a", "<", ">", "&lt;", "<b>"]) | st.just("<USER>a</USER>"), max_size=12
).map("".join)


@given(TEXTS | st.from_regex(HISTORY_PATTERN))
def test_the_pattern_of_a_history_matches_what_is_taken_and_nothing_else(text: str) -> None:
    try:
        parse_history(text)
    except ValidationFailed:
        is_taken = False
    else:
        is_taken = True
    assert bool(re.search(HISTORY_PATTERN, text)) is is_taken


@given(st.from_regex(CURSOR_PATTERN, fullmatch=True))
def test_whatever_the_pattern_of_a_cursor_matches_is_a_place(cursor: str) -> None:
    moment, key = decode_cursor(cursor)
    assert moment >= EPOCH
    assert "\0" not in key


@given(
    st.integers(0, 253_370_764_800_000_000),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=255),
)
def test_a_cursor_leads_back_to_its_place(microseconds: int, key: str) -> None:
    moment = EPOCH + timedelta(microseconds=microseconds)
    cursor = encode_cursor(moment, key)
    assert re.fullmatch(CURSOR_PATTERN, cursor)
    assert len(cursor) <= 2048
    assert decode_cursor(cursor) == (moment, key)


async def test_the_page_needs_nothing_from_elsewhere(world: World) -> None:
    page = await world.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    names = re.findall(r'(?:src|href)="(?:docs/)?([^"]+)"', page.text)
    assert "://" not in page.text
    assert set(names) - {"openapi.json"} == _FILES
    for name in _FILES:
        file = await world.client.get(f"/docs/{name}")
        assert file.status_code == 200
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.content


@pytest.mark.parametrize("name", ["x.js", "index.html", "..%2F..%2Fapp.py", "%2Fetc%2Fpasswd"])
async def test_no_other_file_is_given(world: World, name: str) -> None:
    answer = await world.client.get(f"/docs/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
