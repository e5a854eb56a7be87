from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.actions import (
    MAX_ACTIONS,
    MAX_DATA_BYTES,
    SUPPORTED_ACTION_TYPES,
    Action,
    actions_json,
    classify,
    send_message,
)

VALID: dict[str, dict[str, Any]] = {
    "send_message": {"message": "Hello"},
    "send_quick_replies": {"message": "Which?", "quick_replies": ["Yes", {"title": "No"}]},
    "send_carousel": {"items": [{"title": "One", "image_url": "https://example.com/1.png"}]},
    "transfer_to_agent": {"reason": "asked for a person"},
    "collect_info": {"fields": ["phone", {"name": "email", "required": True}]},
    "execute_api": {"endpoint": "bookings.create", "parameters": {"day": "Monday"}},
    "end_conversation": {},
}
BAD: list[tuple[str, object]] = [
    ("send_message", {}),
    ("send_message", {"message": ""}),
    ("send_message", {"message": 5}),
    ("send_message", ["Hello"]),
    ("send_message", "Hello"),
    ("send_message", {"message": "x" * 262_145}),
    ("send_quick_replies", {"quick_replies": []}),
    ("send_quick_replies", {"quick_replies": [5]}),
    ("send_carousel", {"items": [{"subtitle": "no title"}]}),
    ("send_carousel", {"items": "one"}),
    ("transfer_to_agent", {"reason": 5}),
    ("collect_info", {}),
    ("execute_api", {"parameters": {}}),
    ("end_conversation", {"reason": ["x"]}),
]


def test_each_supported_type_has_data_that_is_taken_as_it_came() -> None:
    assert set(VALID) == set(SUPPORTED_ACTION_TYPES)
    for name, data in VALID.items():
        extended = {**data, "extra": {"kept": [1, None, 2.5]}}
        [action] = [a for a in classify([{"type": name, "data": extended}], "") if a.type == name]
        assert action.error is None
        assert json.loads(action.data) == extended


@pytest.mark.parametrize(("name", "data"), BAD)
def test_bad_data_is_rejected_with_a_reason_and_the_rest_goes_on(name: str, data: object) -> None:
    good = {"type": "end_conversation", "data": {"reason": "done"}}
    made, rejected, taken = classify([{"type": name, "data": data}, good], "Text")
    assert made == send_message("Text")
    assert rejected.type == name
    assert rejected.error
    assert rejected.to_record().status == "rejected"
    assert taken.is_valid
    assert taken.to_record().status == "pending"


@pytest.mark.parametrize(
    "value", ["a\x00b", "\ud800", math.nan, math.inf, 10**30, {"a\x00": 1}, ["\udfff"]]
)
def test_what_postgresql_cannot_store_is_rejected_and_not_kept(value: object) -> None:
    [made, action] = classify([{"type": "send_message", "data": {"message": "x", "v": value}}], "T")
    assert made.is_valid
    assert action.error
    assert action.data == "{}"


@pytest.mark.parametrize("raw", [None, 5, "send_message", [], {}, {"type": 5}, {"type": "a\x00"}])
def test_what_is_no_action_at_all_is_rejected(raw: object) -> None:
    _made, action = classify([raw], "Text")
    assert action.error
    assert action.type == "invalid"


def test_an_unknown_type_is_rejected_and_its_name_is_bounded() -> None:
    _made, action = classify([{"type": "x" * 1000, "data": {"a": 1}}], "Text")
    assert action == Action("x" * 64, '{"a":1}', "unknown action type")


def test_no_message_is_made_where_there_is_a_valid_one_already() -> None:
    actions = classify([{"type": "send_message", "data": {"message": "Mine"}}], "Text")
    assert [action.data for action in actions] == ['{"message":"Mine"}']


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_blank_text_makes_no_message(text: str) -> None:
    assert classify([], text) == []


def test_actions_beyond_the_limit_are_rejected_and_their_record_is_bounded() -> None:
    raw: list[object] = [{"type": "send_message", "data": {"message": str(n)}} for n in range(5000)]
    actions = classify(raw, "Text")
    assert [action.is_valid for action in actions] == [True] * MAX_ACTIONS + [False] * 50


def test_data_that_is_too_large_or_too_deep_is_rejected() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"x": deep}
    large = {"message": "x", "more": ["y" * 1000] * (MAX_DATA_BYTES // 1000)}
    actions = classify(
        [{"type": "send_message", "data": {"message": "x", **data}} for data in (deep, large)], ""
    )
    assert [(action.is_valid, action.data) for action in actions] == [(False, "{}")] * 2


def test_only_valid_actions_are_shown_and_sent() -> None:
    actions = [send_message("Chào"), Action("transfer_to_agent", "{}", "no"), Action("x", "{}")]
    assert json.loads(actions_json(actions)) == [
        {"type": "send_message", "data": {"message": "Chào"}},
        {"type": "x", "data": {}},
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(
    st.lists(
        json_values
        | st.fixed_dictionaries({"type": st.sampled_from(list(VALID)), "data": json_values})
    )
)
def test_whatever_comes_what_is_recorded_can_be_stored(raw: list[object]) -> None:
    for action in classify(raw, "Text"):
        record = action.to_record()
        for text in (record.action_type, record.data, record.error or ""):
            assert "\x00" not in text
            assert "\\u0000" not in text or "\\\\u0000" in text
            text.encode()
        json.loads(record.data, parse_constant=pytest.fail)
