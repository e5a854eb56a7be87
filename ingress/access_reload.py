"""New tokens without a restart: the files that hold them are watched, and read again.

A look each second at when they were changed; no signal, which several processes behind one port and
containers make awkward, and which would have to reach each instance. What stands in the environment
itself cannot change while a process lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

from ingress.audit import write_access_changed
from ingress.run_file import run_file_path
from storage.access_settings import ACCESS_FIELDS
from storage.setting_files import files_named_for
from storage.settings import Settings
from storage.tasks import end_task, keep_running

__all__ = ["AccessReload", "files_of", "watch_access"]

WATCH_SECONDS = 1.0
ENV_FILE = ".env"

log = structlog.get_logger(__name__)
_Looks: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def _nothing(_: Settings) -> None:
    pass


@dataclass(frozen=True, slots=True)
class AccessReload:
    """How a process learns of new tokens."""

    read: Callable[[], Settings]
    """Reads the settings again. May raise ``InvalidSettings``."""
    tell: Callable[[Settings], None] = _nothing
    """Is called with the settings that hold from then on."""


def files_of(settings: Settings) -> list[Path]:
    """Return the files that may hold tokens of this process; they need not exist."""
    named = files_named_for(Settings, ACCESS_FIELDS)
    return [Path(ENV_FILE).absolute(), run_file_path(settings.data_dir), *named]


@asynccontextmanager
async def watch_access(
    settings: Settings,
    reload: AccessReload,
    renew: Callable[[Settings], None],
    watch_seconds: float = WATCH_SECONDS,
) -> AsyncIterator[None]:
    """As long as the block lasts, hand changed tokens to ``renew``, which may raise ``ValueError``.

    Whatever cannot be used is logged, and all stays as it was.
    """
    watch = _Watch(settings, reload, renew)
    task = asyncio.create_task(
        keep_running("access-reload", lambda: watch.run(watch_seconds)), name="access-reload"
    )
    try:
        yield
    finally:
        await end_task(task)


class _Watch:
    def __init__(
        self, settings: Settings, reload: AccessReload, renew: Callable[[Settings], None]
    ) -> None:
        self._settings = settings
        self._reload = reload
        self._renew = renew
        self._files = files_of(settings)
        # What is changed between the start of the process and now is seen as a change, too.
        self._taken: _Looks | None = None

    async def run(self, watch_seconds: float) -> None:
        before = await asyncio.to_thread(_look_at, self._files)
        while True:
            await asyncio.sleep(watch_seconds)
            now = await asyncio.to_thread(_look_at, self._files)
            # Twice the same: nobody is in the middle of writing.
            if now == before and now != self._taken:
                self._taken = now
                await self._take()
            before = now

    async def _take(self) -> None:
        try:
            # Other files may be named now, and be mended later if they cannot be read.
            self._files = await asyncio.to_thread(files_of, self._settings)
            newer = self._settings.with_access_of(await asyncio.to_thread(self._reload.read))
            changed = [
                name.upper()
                for name in ACCESS_FIELDS
                if getattr(newer, name) != getattr(self._settings, name)
            ]
            if not changed:
                return
            self._renew(newer)
        except (ValueError, OSError) as error:
            log.error("access_not_changed", error=str(error))  # noqa: TRY400 (names, no values)
            return
        self._settings = newer
        write_access_changed(changed)
        await asyncio.to_thread(self._reload.tell, newer)


def _look_at(files: Iterable[Path]) -> _Looks:
    """Return what tells versions of files apart; None where there is none to be read."""
    return tuple(_version_of(path) for path in files)


def _version_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # no path can have U+0000
        return None
    # Not when it was written: it may be made readable later.
    return found.st_ctime_ns, found.st_size, found.st_ino
