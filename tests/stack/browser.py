"""A headless Chromium of this machine, with the operator console in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.stack.server import ADMIN_TOKEN, Server

__all__ = ["needs_chromium", "open_console", "sign_in", "tab_to"]

_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
"""As root and in containers there is no sandbox and little shared memory."""
_PATIENCE_MS = 60_000
_MOST_TABS = 80

needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="no chromium is installed")


@asynccontextmanager
async def open_console(server: Server, **options: Any) -> AsyncIterator[Page]:
    """Open the console in a fresh profile; ``options`` are those of a Playwright context.

    Whatever the page complains of, and whatever it asks other servers, fails the test.
    """
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        try:
            page = await (await browser.new_context(**options)).new_page()
            page.set_default_timeout(_PATIENCE_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda said: _note(problems, said.type, said.text))
            page.on("request", lambda request: _note_place(problems, server, request.url))
            await page.goto(f"{server.url}/console")
            yield page
        finally:
            await browser.close()
    assert problems == []


async def sign_in(page: Page, token: str = ADMIN_TOKEN) -> None:
    """Type a token and press Enter."""
    await page.get_by_label("Token").wait_for()
    await page.keyboard.type(token)  # the field has the focus
    await page.keyboard.press("Enter")


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until what has the focus says ``text``."""
    for _ in range(_MOST_TABS):
        await page.keyboard.press("Tab")
        focused = await page.evaluate("document.activeElement.textContent")
        if focused.strip() == text:
            return
    raise AssertionError(f"the keyboard does not lead to {text!r}")


def _note(problems: list[str], kind: str, text: str) -> None:
    # The browser itself says so of every answer that is no success.
    if kind in ("error", "warning") and "Failed to load resource" not in text:
        problems.append(f"{kind}: {text}")


def _note_place(problems: list[str], server: Server, url: str) -> None:
    if not url.startswith((server.url, "data:")):
        problems.append(f"asks {url}")
