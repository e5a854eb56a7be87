"""The operator console in a browser, over the running stack."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from playwright.async_api import Page, expect

from tests.stack.ask import detail, final_job, job_of, message, say, start_turn
from tests.stack.bots import put_bot, put_bots
from tests.stack.browser import needs_chromium, open_console, sign_in, tab_to
from tests.stack.server import MESSAGES_TOKEN, Server, wait_for
from tests.stack.stubs import Stubs

PATIENCE_MS = 60_000
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
}

pytestmark = needs_chromium


async def test_a_stuck_conversation_is_found_and_freed(
    server: Server,
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    bot_id = f"patient-{uuid.uuid4().hex}"
    patient = {"ai_core": {"timeout_seconds": 300, "max_attempts": 1}}
    await put_bots(admin, stubs, {bot_id: patient})
    metadata = {"bot_id": bot_id}
    turn = await start_turn(client, stubs, conversation_id, metadata=metadata)
    second = await say(client, conversation_id, "second", metadata=metadata)
    assert second["status"] == "locked"
    # The turn runs on, and is now by far too long.
    await put_bot(admin, bot_id, ai_core={"timeout_seconds": 0.1, "max_attempts": 1})
    async with open_console(server) as page:
        await sign_in(page)
        row = page.get_by_role("row").filter(has_text=conversation_id)
        await expect(row).to_contain_text("its turn takes too long", timeout=PATIENCE_MS)
        await row.get_by_role("link", name=conversation_id).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(conversation_id)
        why = page.get_by_role("list", name="Why it waits")
        await expect(why).to_contain_text("The AI service is being asked")
        await expect(why).to_contain_text("Further messages come after the turn that runs")
        await expect(page.get_by_text("second", exact=True)).to_be_visible()
        await put_bot(admin, bot_id, **patient)
        stubs.hold(conversation_id)()  # calls from now on are answered
        await page.get_by_role("button", name="Free it").click()
        question = page.get_by_role("dialog")
        await expect(question).to_contain_text(conversation_id)
        await question.get_by_role("button", name="Free it").click()
        await expect(page.get_by_role("status").filter(has_text="Freed")).to_be_visible()
        # By itself the page shows what comes of it.
        await expect(page.get_by_text("answer to second", exact=True)).to_be_visible(
            timeout=PATIENCE_MS
        )
        await expect(page.get_by_text("It waits for nothing")).to_be_visible(timeout=PATIENCE_MS)
    assert (await job_of(client, turn.job_id))["status"] == "cancelled"
    assert (await final_job(client, second["job_id"]))["status"] == "completed"
    assert (await turn.caller)["status"] in ("failed", "processing")  # it may have waited long


async def test_everything_can_be_done_with_the_keyboard(
    server: Server,
    client: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    stubs: Stubs,
    conversation_id: str,
) -> None:
    transfer = {"type": "transfer_to_agent", "data": {"reason": "asked for a person"}}
    stubs.plan_ai(conversation_id, {"response_text": "One moment.", "actions": [transfer]})
    await say(client, conversation_id)
    assert (await detail(admin, conversation_id))["status"] == "with_agent"
    async with open_console(server) as page:
        await sign_in(page, MESSAGES_TOKEN)
        await expect(page.get_by_role("alert")).to_contain_text("scope")
        await sign_in(page)
        await expect(page.get_by_role("heading", level=1, name="Overview")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.keyboard.type(conversation_id[5:-1])
        await expect(page.get_by_role("row")).to_have_count(2)  # the head, and the one
        await tab_to(page, conversation_id)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("list", name="Why it waits")).to_contain_text("A person")
        await tab_to(page, "Give it back to the bot")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("button", name="Give it back to the bot")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await tab_to(page, "Give it back")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("It waits for nothing")).to_be_visible()
        assert (await detail(admin, conversation_id))["status"] == "active"
        await tab_to(page, "Sign out")
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Token")).to_be_focused()
        assert await page.evaluate("sessionStorage.length") == 0
        await expect(page.get_by_text(conversation_id)).to_have_count(0)


async def test_on_a_phone_a_dead_letter_is_tried_again(
    server: Server, client: httpx.AsyncClient, stubs: Stubs, conversation_id: str
) -> None:
    stubs.plan_ai(conversation_id, (400, {"detail": "no"}, {}))
    body = message(conversation_id)
    failed = (await client.post("/api/v1/enhanced-handle-message", json=body)).json()["result"]
    assert failed["status"] == "failed"
    async with open_console(server, **PHONE, color_scheme="dark") as page:
        await sign_in(page)
        for view in ("Overview", "Conversations", "Cluster", "Dead letters"):
            await page.get_by_role("navigation").get_by_role("link", name=view).tap()
            await expect(page.get_by_role("heading", level=1)).to_have_text(view)
            await _fits(page)
        card = page.get_by_role("row").filter(has_text=conversation_id)
        await expect(card).to_contain_text("ai error")
        await card.get_by_role("button", name="Try again").tap()
        await expect(page.get_by_role("status").filter(has_text="tried again")).to_be_visible()
        await expect(card).to_have_count(0, timeout=PATIENCE_MS)
        await page.goto(f"{server.url}/console#/conversations/{conversation_id}")
        await expect(page.get_by_text("answer to Hello", exact=True)).to_be_visible(
            timeout=PATIENCE_MS
        )
        await _fits(page)

    async def is_delivered() -> bool:
        return len(stubs.delivered(conversation_id)) == 1

    await wait_for(is_delivered)


async def _fits(page: Page) -> None:
    """Check that nothing stands beside the screen."""
    await expect(page.locator(".live.on")).to_be_attached()
    beyond = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert beyond <= 0, await page.title()
