from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.errors import ApiError, InvalidJson, ValidationFailed
from ingress.strict_json import MAX_DEPTH, parse_object, text_problem


def nested(levels: int) -> bytes:
    """An object with arrays in it, ``levels`` deep together."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def problems_of(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(ValidationFailed) as caught:
        parse_object(body)
    return [(it.field, it.problem) for it in caught.value.details]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda children: st.lists(children) | st.dictionaries(st.sampled_from("abc"), children),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "ñ"]), json_values), st.booleans())
def test_what_can_be_stored_comes_back(document: dict[str, Any], ascii_only: bool) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert parse_object(body) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidJson, ValidationFailed):
        assert isinstance(parse_object(body), dict)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999", "9" * 310])
def test_a_number_that_is_none_or_overflows_is_named(number: str) -> None:
    body = f'{{"a": {{"b": [1, {number}]}}}}'.encode()
    assert problems_of(body) == [("a.b.1", "is not a finite number")]


@pytest.mark.timeout(60)  # parsed as a number it would take minutes
def test_a_number_of_many_digits_is_refused_unparsed() -> None:
    assert problems_of(b'{"a": ' + b"9" * 1_000_000 + b"}")


@pytest.mark.parametrize(("text", "value"), [("1" + "0" * 30, 1e30), ("1e-400", 0.0), ("-0", 0)])
def test_other_numbers_are_taken(text: str, value: float) -> None:
    assert parse_object(f'{{"a": {text}}}'.encode()) == {"a": value}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"a": "\\u0000"}', "a"),
        (b'{"unknown": {"deep": ["\\u0000"]}}', "unknown.deep.0"),
        (b'{"a\\u0000b": 1}', "a\\u0000b"),
        (b'{"a": "\\ud800"}', "a"),
        (b'{"a": "\\udc00\\ud800"}', "a"),
        (b'{"x": {"\\udfff": 1}}', "x.\\udfff"),
    ],
)
def test_text_that_cannot_be_stored_is_named(body: bytes, field: str) -> None:
    assert [name for name, _ in problems_of(body)] == [field]


def test_an_escaped_backslash_is_no_nul() -> None:
    assert parse_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_a_surrogate_pair_is_a_character() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_nesting_is_allowed_up_to_the_limit() -> None:
    parse_object(nested(MAX_DEPTH))
    many = b'{"a": [' + b"[[]]," * 100 + b"[]]}"
    assert len(parse_object(many)["a"]) == 101


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1000, 10_000, 100_000])
def test_deeper_nesting_is_refused(levels: int) -> None:
    ((_, problem),) = problems_of(nested(levels))
    assert "nested deeper than 32" in problem


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[{" * 1000 + '\\"' + "[" * 1000
    assert len(parse_object(f'{{"a": "{text}"}}'.encode())["a"]) == 3001


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000,
        b'{"a":' + b"[" * 10_000,
        b'{"a":' + b"[" * 10_000 + b"}" * 10_000,
        b'{"a": "\x00"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 01}',
        b'{"a": NaN,}',
        b'{"a": +1}',
        b"{'a': 1}",
        b'{"a": 1} {}',
        b'\xff\xfe{\x00"\x00a\x00"\x00:\x001\x00}\x00',
    ],
)
def test_what_is_not_json_is_so_however_deep(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_object(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b'\\"' * 500_000,
        b'{"a":' + b"[" * 1_000_000,
        b'{"a":"' + b"\\" * 1_000_001,
        b'{"a":[' + b"[]," * 300_000 + b"NaN]}",
        b"{" * 1_000_000,
    ],
)
@pytest.mark.timeout(60)  # in quadratic time it would take minutes
def test_hostile_bodies_take_linear_time(body: bytes) -> None:
    with pytest.raises(ApiError):
        parse_object(body)


def test_problems_are_bounded() -> None:
    assert len(problems_of(b'{"a": [' + b'"\\u0000",' * 1000 + b"1]}")) == 20


@pytest.mark.parametrize(
    ("text", "is_good"), [("", True), ("é😀", True), ("a\0", False), ("\ud800", False)]
)
def test_text_problem(text: str, is_good: bool) -> None:
    assert (text_problem(text) is None) is is_good
