"""A server of its own with other settings: a short wait, JWTs, production, calls by Ray alone …"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.stack.ask import ENHANCED, cancel_job, enhanced, final_job, message, say, start_turn
from tests.stack.bots import BOTS, known_everywhere, put_bot
from tests.stack.server import Server
from tests.stack.stubs import Stubs
from tests.stack.test_metrics import samples_of, value_of

JWT_SECRET = "a-secret-for-tests-only-0123456789abcdef"
REQUESTS_PER_MINUTE = 200


@pytest.fixture(scope="module")
def server(stubs: Stubs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server with databases of its own and the simulated platform."""
    running = Server(
        tmp_path_factory.mktemp("own"),
        AI_SERVICE_URL=stubs.url,
        RESPONSE_WAIT_SECONDS="1",
        RATE_LIMIT=f"{REQUESTS_PER_MINUTE}/minute",
        JWT_SECRET=JWT_SECRET,
        ENVIRONMENT="production",
        MAX_BODY_BYTES="4096",
        ACTOR_CALLS="ray",
        PANCAKE_ACCESS_TOKEN=secrets.token_urlsafe(32),  # production takes no guessable ones
        ADMIN_ACCESS_TOKEN=secrets.token_urlsafe(32),
    ).start()
    yield running
    assert running.stop() == 0, running.log_end()


def _token(**claims: Any) -> str:
    """Return a token that no other test uses up."""
    return jwt.encode(
        {
            "aud": "chat-orchestrator",
            "exp": int(time.time()) + 300,
            "scope": "messages",
            "jti": uuid.uuid4().hex,
            **claims,
        },
        JWT_SECRET,
        algorithm="HS256",
    )


@pytest.fixture
def client(server: Server) -> httpx.AsyncClient:
    return server.client(_token())


@pytest.fixture
def admin(server: Server) -> httpx.AsyncClient:
    return server.client(_token(scope="admin"))


async def test_a_caller_waits_no_longer_than_it_should_and_may_ask_later(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    async with client:
        turn = await start_turn(client, stubs, conversation_id)
        started = time.monotonic()
        again = (await enhanced(client, turn.body))["result"]
        assert time.monotonic() - started >= 0.9
        result = await turn.caller
        assert result["status"] == again["status"] == "processing"
        assert result["job_id"] == again["job_id"] == turn.job_id
        assert result["message_id"] == turn.body["message_id"]
        assert (result["duplicate"], again["duplicate"]) == (False, True)
        turn.finish()
        assert (await final_job(client, turn.job_id))["status"] == "completed"
        late = (await enhanced(client, turn.body))["result"]
        assert (late["status"], late["duplicate"]) == ("completed", True)
        assert late["ai_response"]["response_text"] == "answer to first"


async def test_a_job_is_cancelled_after_its_caller_has_gone(
    client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    async with client:
        turn = await start_turn(client, stubs, conversation_id)
        assert (await turn.caller)["status"] == "processing"
        assert (await cancel_job(client, turn.job_id))["status"] == "cancelled"
        turn.finish()


async def test_over_the_rate_limit_a_token_has_to_wait_and_others_do_not(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    path = f"/api/v1/jobs/{uuid.uuid4()}"
    async with client, admin:
        statuses = [(await client.get(path)).status_code for _ in range(REQUESTS_PER_MINUTE * 2)]
        refused = await client.get(path)
        # A new minute may have begun meanwhile, so only the sum is sure.
        assert 429 in statuses
        assert statuses.count(404) >= REQUESTS_PER_MINUTE
        if refused.status_code == 429:
            assert refused.json()["code"] == "rate_limited"
            assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 404),
        ({"scope": "admin"}, 404),
        ({"scope": "other messages"}, 404),
        ({"scope": "other"}, 403),
        ({"scope": ["messages"]}, 403),
        ({"scope": None}, 403),
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"aud": "another"}, 401),
        ({"aud": None}, 401),
    ],
)
async def test_a_jwt_holds_what_it_says(
    server: Server, claims: dict[str, Any], status: int
) -> None:
    payload = {
        name: value
        for name, value in jwt.decode(
            _token(), JWT_SECRET, algorithms=["HS256"], audience="chat-orchestrator"
        ).items()
        if name not in claims
    } | {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(payload, JWT_SECRET, algorithm="HS256")
    async with server.client(token) as caller:
        assert (await caller.get(f"/api/v1/jobs/{uuid.uuid4()}")).status_code == status


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
async def test_a_jwt_of_another_algorithm_is_refused(server: Server, algorithm: str) -> None:
    claims = {"aud": "chat-orchestrator", "exp": int(time.time()) + 300, "scope": "admin"}
    key = "" if algorithm == "none" else JWT_SECRET * 2
    async with server.client(jwt.encode(claims, key, algorithm=algorithm)) as caller:
        assert (await caller.get(f"/api/v1/jobs/{uuid.uuid4()}")).status_code == 401


async def test_a_jwt_without_the_admin_scope_is_no_admin(
    client: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    async with client, admin:
        assert (await client.get("/api/v1/admin/health")).status_code == 403
        assert (await admin.get("/api/v1/admin/health")).status_code == 200


async def test_the_longest_body_can_be_set(client: httpx.AsyncClient) -> None:
    async with client:
        response = await client.post(ENHANCED, json=message("a", "x" * 5000))
        assert response.status_code == 413


async def test_the_simulated_platform_shows_what_it_got(
    client: httpx.AsyncClient, admin: httpx.AsyncClient, conversation_id: str
) -> None:
    async with client, admin:
        result = await say(client, conversation_id)
        assert result["pancake_result"] == {"status": "success", "actions_executed": 1}
        deliveries = (await admin.get("/api/v1/admin/deliveries")).json()["deliveries"]
        (mine,) = [it for it in deliveries if conversation_id in str(it)]
        assert result["job_id"] in str(mine)
        assert result["lock_id"] in str(mine)


async def test_the_overrides_of_production_hold_in_production(
    server: Server, stubs: Stubs, conversation_id: str
) -> None:
    async with server.client(_token(scope="admin")) as admin:
        await put_bot(admin, "overridden", **BOTS["overridden"])
        await known_everywhere(admin, stubs, "overridden")
        await say(admin, conversation_id, metadata={"bot_id": "overridden"})
    bot = stubs.ai_calls(conversation_id)[0].body["bot"]
    assert (bot["name"], bot["model"]) == ("There", "model-3")


async def test_actors_call_each_other_by_ray_alone_where_that_is_set(
    client: httpx.AsyncClient,
) -> None:
    async with client:
        samples = samples_of((await client.get("/metrics")).text)
    assert value_of(samples, "chat_orchestrator_actor_calls_total", way="ray") > 0
    assert value_of(samples, "chat_orchestrator_actor_calls_total", way="direct") == 0
