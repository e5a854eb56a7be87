"""The operations of clients: messages, jobs, health, and this description itself."""

from __future__ import annotations

from ingress.openapi.answers import CancelledJobAnswer, EnhancedMessageResponse, JobAnswer, JobEvent
from ingress.openapi.described import Described
from ingress.openapi.examples import (
    CHAT_ANSWER,
    CHAT_REQUEST,
    ENHANCED_ANSWERS,
    ENHANCED_REQUEST,
    JOB,
)
from ingress.openapi.health_answers import HandlerStatus, Health, Live
from ingress.schemas import EnhancedMessageRequest, PancakeMessageRequest, PancakeMessageResponse

__all__ = ["CLIENT_OPERATIONS"]

_MESSAGES, _JOBS, _HEALTH, _API = "Messages", "Jobs", "Health", "This description"
_JOB = "/api/v1/jobs/{job_id}"


def _to_job(pointer: str) -> dict[str, str]:
    return dict.fromkeys(("getJob", "followJob", "cancelJob"), pointer)


CLIENT_OPERATIONS: dict[tuple[str, str], Described] = {
    ("POST", "/api/v1/enhanced-handle-message"): Described(
        name="handleMessage",
        tag=_MESSAGES,
        summary="Hand in a message and wait for its answer",
        text=(
            "Answers when the turn is over, or after `RESPONSE_WAIT_SECONDS` with `processing`. "
            "A 200 is sent only once the message is stored. The same `message_id` again is "
            "answered as the first time, with `duplicate: true`."
        ),
        takes=EnhancedMessageRequest,
        is_signed=True,
        takes_example=ENHANCED_REQUEST,
        answer=EnhancedMessageResponse,
        answer_examples=ENHANCED_ANSWERS,
        leads_to=_to_job("/result/job_id"),
    ),
    ("POST", "/api/v1/chat/message"): Described(
        name="sendHistory",
        tag=_MESSAGES,
        summary="Hand in a history; what is new in it is answered in the background",
        text=(
            "The last run of USER parts is the new message, the rest is its context. Answers as "
            "soon as it is stored; ask for `ai_job_id`. At most 500 parts."
        ),
        takes=PancakeMessageRequest,
        is_signed=True,
        takes_example=CHAT_REQUEST,
        answer=PancakeMessageResponse,
        answer_examples={"started": CHAT_ANSWER},
        has_idempotency_key=True,
        leads_to=_to_job("/ai_job_id"),
    ),
    ("GET", _JOB): Described(
        name="getJob",
        tag=_JOBS,
        summary="Look at a job",
        answer=JobAnswer,
        answer_examples={"completed": JOB},
        leads_to={"followJob": "/job_id", "cancelJob": "/job_id"},
    ),
    ("POST", f"{_JOB}/cancel"): Described(
        name="cancelJob",
        tag=_JOBS,
        summary="Cancel a job, if nothing of it has been delivered",
        text="Answers the state that holds now; `success` is true when that is `cancelled`.",
        answer=CancelledJobAnswer,
    ),
    ("GET", f"{_JOB}/events"): Described(
        name="followJob",
        tag=_JOBS,
        summary="Follow a job by Server-Sent Events",
        text=(
            "One event `status` with the job as data for the present state and for each change, "
            "until that is final; a comment every 15 s in between. 503 when too many streams are "
            "open."
        ),
        answer=JobEvent,
        media_type="text/event-stream",
    ),
    ("GET", "/health"): Described(
        name="getHealth",
        tag=_HEALTH,
        summary="Whether messages can be accepted",
        text="`degraded`: without Redis. 503: nothing can be stored.",
        answer=Health,
        other_answers=(503,),
    ),
    ("GET", "/health/live"): Described(
        name="getLiveness", tag=_HEALTH, summary="Whether the process runs", answer=Live
    ),
    ("GET", "/api/v1/status/handler"): Described(
        name="getHandlerStatus",
        tag=_HEALTH,
        summary="The message handler and its parts",
        answer=HandlerStatus,
    ),
    ("GET", "/metrics"): Described(
        name="getMetrics",
        tag=_HEALTH,
        summary="Metrics of this instance, for Prometheus",
        media_type="text/plain",
    ),
    ("GET", "/openapi.json"): Described(
        name="getDescription", tag=_API, summary="This description, as OpenAPI 3.1"
    ),
    ("GET", "/docs"): Described(
        name="getDocumentation",
        tag=_API,
        summary="This description, as a page to read and to try",
        media_type="text/html",
    ),
}
