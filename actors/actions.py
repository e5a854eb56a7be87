"""The actions an answer may carry, and which of those that it does carry are sent.

An action that is wrong is recorded as rejected and the rest goes on: one bad button must not cost
the person the answer. Data is checked, not changed: what was sent is what the platform gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from actors.action_data import MODELS, SUPPORTED_ACTION_TYPES
from storage.json_values import NotStorable, json_text, storage_problem, text_problem
from storage.turn_records import NewAction

__all__ = [
    "MAX_ACTIONS",
    "MAX_DATA_BYTES",
    "SUPPORTED_ACTION_TYPES",
    "Action",
    "actions_json",
    "classify",
    "send_message",
]

MAX_ACTIONS = 50
"""Actions of an answer that may be sent; those after them are rejected."""
MAX_RECORDED_ACTIONS = 100
"""Actions of an answer that are recorded, rejected ones included; the rest is dropped."""
MAX_DATA_BYTES = 262_144
MAX_TYPE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Action:
    """One action of an answer; ``error`` says why it is rejected and not sent."""

    type: str
    data: str
    """JSON text, always one that PostgreSQL takes (``{}`` where what came could not be kept)."""
    error: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether it is to be sent."""
        return self.error is None

    def to_record(self) -> NewAction:
        """Return what is stored of it."""
        return NewAction(
            action_type=self.type,
            data=self.data,
            status="pending" if self.is_valid else "rejected",
            error=self.error,
        )


def classify(raw_actions: list[object], response_text: str) -> list[Action]:
    """Turn the ``actions`` of an AI's answer into actions, valid or rejected, in their order.

    Where none of them is a valid ``send_message``, one is made from ``response_text`` and comes
    first; a blank text makes none.
    """
    actions = [
        _read(raw) if position < MAX_ACTIONS else _surplus(raw)
        for position, raw in enumerate(raw_actions[:MAX_RECORDED_ACTIONS])
    ]
    has_message = any(action.is_valid and action.type == "send_message" for action in actions)
    if has_message or not response_text.strip():
        return actions
    return [send_message(response_text), *actions]


def send_message(text: str) -> Action:
    """Return the action that says ``text``."""
    return Action("send_message", orjson.dumps({"message": text}).decode())


def actions_json(actions: Iterable[Action]) -> str:
    """Encode the valid ones as clients and the platform see them: ``[{"type", "data"}, ...]``."""
    return orjson.dumps(
        [
            {"type": action.type, "data": orjson.Fragment(action.data)}
            for action in actions
            if action.is_valid
        ]
    ).decode()


def _read(raw: object) -> Action:
    if not isinstance(raw, dict):
        return Action("invalid", "{}", "is not an object")
    action_type = _type_of(raw)
    data = raw.get("data")
    data = {} if data is None else data
    try:
        text = json_text(data, MAX_DATA_BYTES)
    except NotStorable as problem:
        return Action(action_type, "{}", f"data {problem}")
    model = MODELS.get(action_type)
    if model is None:
        return Action(action_type, text, "unknown action type")
    try:
        model.model_validate(data)
    except ValidationError as error:
        return Action(action_type, text, _describe(error))
    return Action(action_type, text)


def _surplus(raw: object) -> Action:
    action_type = _type_of(raw) if isinstance(raw, dict) else "invalid"
    return Action(action_type, "{}", f"comes after the first {MAX_ACTIONS} actions")


def _type_of(raw: dict[object, object]) -> str:
    action_type = raw.get("type")
    if not isinstance(action_type, str) or not action_type or text_problem(action_type):
        return "invalid"
    return action_type[:MAX_TYPE_LENGTH]


def _describe(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(["data", *(str(part) for part in first["loc"])])
    text = f"{field}: {first['msg']}"[:500]
    return "data is not valid" if storage_problem(text) else text
