"""What happens in a chat, in words: pure, so that it can be tested without a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ingress.terminal.plain_text import printable

__all__ = ["Line", "Tone", "answer_lines", "job_name", "state_lines", "trouble"]

_SHORT_ID = 8
_LONGEST_DATA = 500
_RECORDED = {
    "with_agent": "a person has this conversation; the bot is silent until it is given back",
    "bot_disabled": "this bot is switched off",
    "empty_message": "there was nothing in it",
    "not_from_user": "it is not from a user",
}
_DELIVERED = {
    "success": "delivered",
    "pending": "not delivered yet: the platform is asked again",
    "failed": "not delivered: the platform refused it",
}


class Tone(Enum):
    """Who speaks: the bot, or this program about what happens."""

    BOT = "bot"
    ACTION = "action"
    NOTE = "note"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Line:
    """Something to show. It holds nothing that could steer a terminal."""

    tone: Tone
    text: str


def job_name(job_id: str) -> str:
    """Return the end of a job's id, which tells turns apart: the beginning is the time."""
    return printable(job_id)[-_SHORT_ID:]


def trouble(text: str) -> Line:
    """Return a line about something that went wrong."""
    return Line(Tone.TROUBLE, printable(text))


def answer_lines(result: Mapping[str, Any]) -> list[Line]:
    """Say what the answer to a message tells, other than the outcome of its turn."""
    status, job = result["status"], job_name(result.get("job_id") or "")
    if status == "locked" and result.get("queued"):
        return [_note(f"a turn is running; this waits for the turn {job}")]
    if status == "locked":
        return [trouble("refused: a turn is running, and this bot takes nothing meanwhile")]
    if status == "recorded":
        reason = str(result.get("reason"))
        return [_note(f"kept, not answered: {_RECORDED.get(reason, reason)}")]
    if status == "processing":
        return [_note(f"this takes long; still waiting for the turn {job}")]
    if status == "restart_needed" and result.get("current_result") is None:
        restarted = job_name(result["restart_job_id"])
        return [_note(f"the turn {restarted} begins again, with the newer messages")]
    return []


def state_lines(job: Mapping[str, Any]) -> list[Line]:
    """Say what a state of a job tells, its outcome included."""
    name, status = job_name(job["job_id"]), job["status"]
    if status == "processing":
        return [_note(f"turn {name} runs{_with(job)}")]
    if status == "superseded":
        return [_note(f"merged into the turn {job_name(job.get('superseded_by') or '')}")]
    if status == "completed":
        return _outcome_lines(name, job)
    if status in ("failed", "cancelled", "rejected"):
        return [*_outcome_lines(name, job), trouble(_failure(name, job))]
    return []


def _outcome_lines(name: str, job: Mapping[str, Any]) -> list[Line]:
    result = job.get("result") or {}
    response = result.get("ai_response") or {}
    actions: Sequence[Mapping[str, Any]] = result.get("extracted_actions") or ()
    lines = [_action(it) for it in actions]
    if not actions and response.get("response_text"):
        lines = [Line(Tone.BOT, printable(response["response_text"]))]
    if job["status"] == "completed":
        lines.append(_note(_summary(name, job, response, result)))
    return lines


def _summary(
    name: str, job: Mapping[str, Any], response: Mapping[str, Any], result: Mapping[str, Any]
) -> str:
    parts = [f"turn {name} is done{_with(job)}"]
    if response.get("processing_time_ms") is not None:
        parts.append(f"AI {response['processing_time_ms'] / 1000:.1f} s")
    if response.get("model_used"):
        parts.append(str(response["model_used"]))
    if response.get("intent"):
        parts.append(f"intent {response['intent']}")
    delivery = (result.get("pancake_result") or {}).get("status")
    if delivery:
        parts.append(_DELIVERED.get(delivery, str(delivery)))
    return printable(", ".join(parts))


def _failure(name: str, job: Mapping[str, Any]) -> str:
    reason = job.get("reason")
    return f"turn {name} is {job['status']}" + (f": {reason}" if reason else "")


def _with(job: Mapping[str, Any]) -> str:
    count = job.get("consolidated_messages") or 1
    return f" with {count} messages merged" if count > 1 else ""


def _action(action: Mapping[str, Any]) -> Line:
    """Say what the platform was told to do; what it was told to say, the bot says."""
    kind, data = action.get("type"), action.get("data") or {}
    if kind == "send_message" and isinstance(data.get("message"), str) and len(data) == 1:
        return Line(Tone.BOT, printable(data["message"]))
    text = json.dumps(data, ensure_ascii=False)
    shown = text if len(text) <= _LONGEST_DATA else text[:_LONGEST_DATA] + " …"
    return Line(Tone.ACTION, printable(f"{kind} {shown}"))


def _note(text: str) -> Line:
    return Line(Tone.NOTE, printable(text))
