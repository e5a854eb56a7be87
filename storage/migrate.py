"""The same as ``alembic upgrade head``, from Python."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

__all__ = ["migrate", "upgrade_to_head"]

# Alembic's context is one for the whole process. Processes wait for each other in the database.
_one_at_a_time = threading.Lock()
_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade_to_head(url: str, tell: Callable[[str], None] = lambda step: None) -> None:
    """Bring the database at ``url`` to the newest version. Not to be called in an event loop.

    ``tell`` is called with the name of each migration that was applied; all are one transaction.
    """
    with _one_at_a_time:
        _upgrade(url, tell)


def _upgrade(url: str, tell: Callable[[str], None]) -> None:
    config = Config(attributes={"url": url, "tell": tell})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


async def migrate(url: str) -> None:
    """Do ``upgrade_to_head`` in a thread of its own (Alembic runs an event loop there)."""
    await asyncio.to_thread(upgrade_to_head, url)
