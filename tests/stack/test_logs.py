"""What the processes of the running stack write down: what happened, and nothing that was said."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import orjson

from tests.servers import RedisServer
from tests.stack.ask import ENHANCED, chat, message, say
from tests.stack.bots import put_bot
from tests.stack.server import ADMIN_TOKEN, MESSAGES_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs

LOGS = "ray/s/session_2*/logs"


def _files(server: Server) -> list[Path]:
    """Return the logs of every process: the server's, the actors', Ray's own."""
    return [server.log, *(it for it in server.data_dir.glob(f"{LOGS}/**/*") if it.is_file())]


def _actor_lines(server: Server) -> list[bytes]:
    files = server.data_dir.glob(f"{LOGS}/worker-*.out")
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    return [line for line in lines if line and not line.startswith(b":")]  # Ray's own marks


async def test_no_log_holds_what_was_said_or_a_secret(
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    server: Server,
    stubs: Stubs,
    stack_redis: RedisServer,
    conversation_id: str,
) -> None:
    said = f"spoken-{uuid.uuid4().hex}"
    stubs.plan_ai(conversation_id, (500, {"response_text": said}, {}), {"response_text": said})
    stubs.plan_platform(conversation_id, (500, {"error": said}, {}))
    fields = {"attachments": [{"url": said}], "metadata": {"note": said}, "sender_id": "u"}
    await say(client, conversation_id, said, **fields)
    await chat(client, f"<BOT>{said}</BOT><USER>{said}</USER>", conversation_id=conversation_id)
    await client.post(ENHANCED, json=message(conversation_id, said, timestamp=said))
    await client.post(ENHANCED, content=f'{{"message_content": "{said}"')
    await put_bot(admin, "discreet", ai_core={"system_prompt": said})

    async def tried_again() -> bool:
        return len(stubs.delivered(conversation_id)) == 2

    await wait_for(tried_again)
    secrets = [said, MESSAGES_TOKEN, ADMIN_TOKEN, stack_redis.url]
    for file in _files(server):
        text = file.read_text(errors="replace")
        assert not [it for it in secrets if it in text], file


def test_every_line_of_an_actor_is_json(server: Server) -> None:
    lines = [orjson.loads(line) for line in _actor_lines(server)]
    assert "host_started" in {line["event"] for line in lines}
    assert all(line["level"] and line["timestamp"] for line in lines)
    assert {"host-0", "supervisor"} <= {line["process"] for line in lines}


async def test_the_line_of_a_message_has_the_ids_of_its_conversation_and_job(
    client: httpx.AsyncClient, server: Server, conversation_id: str
) -> None:
    request_id = f"request-{uuid.uuid4().hex}"
    headers = {"X-Request-ID": request_id}
    body = message(conversation_id, "Hello")
    answer = (await client.post(ENHANCED, json=body, headers=headers)).json()
    written = await server.logged(event="request", request_id=request_id)
    assert written["conversation_id"] == conversation_id
    assert written["job_id"] == answer["result"]["job_id"]


async def test_the_line_of_a_request_has_its_id(client: httpx.AsyncClient, server: Server) -> None:
    request_id = f"request-{uuid.uuid4().hex}"
    await client.get(f"/api/v1/jobs/{uuid.uuid4()}", headers={"X-Request-ID": request_id})
    written = await server.logged(event="request", request_id=request_id)
    assert written["status"] == 404
