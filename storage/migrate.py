"""The same as ``alembic upgrade head``, from Python."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config

__all__ = ["migrate", "upgrade_to_head"]

# Alembic's context is one for the whole process. Processes wait for each other in the database.
_one_at_a_time = threading.Lock()
_SCRIPTS = Path(__file__).parent / "migrations"


def upgrade_to_head(url: str) -> None:
    """Bring the database at ``url`` to the newest version. Not to be called in an event loop."""
    with _one_at_a_time:
        _upgrade(url)


def _upgrade(url: str) -> None:
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


async def migrate(url: str) -> None:
    """Do ``upgrade_to_head`` in a thread of its own (Alembic runs an event loop there)."""
    await asyncio.to_thread(upgrade_to_head, url)
