"""What the product's code sees of the world while a simulation runs: put in place, taken out."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import structlog

import actors.ai
import actors.bot_config
import actors.platform
import actors.router
import actors.runner
import actors.sweeper
import actors.turn_work
import storage.redis_channels
import storage.time_ordered_id
import storage.writer
from actors.conversation import Limits
from actors.conversation.effects import StartTurn
from actors.seat import Seat
from actors.turn_work import TurnWork
from storage.bots import Bot
from storage.postgres import Database
from storage.redis_client import RedisClient
from storage.settings import Settings
from tests.simulation.channels import listeners_of
from tests.simulation.database import DatabaseServer, simulated_writes
from tests.simulation.lease_store import LeaseStore, connect
from tests.simulation.process import current_process
from tests.simulation.services import Services

__all__ = ["product_in_simulation"]

FEW_SHARDS = 64
"""Placing 1,024 shards anew after each change would take most of a simulation's time."""
TIGHT = Limits(
    turn_messages=2,
    waiting_messages=3,
    undelivered_jobs=2,
    restarts=1,
    context_messages=3,
    remembered_messages=4,
    remembered_calls=2,
)


@contextmanager
def product_in_simulation(
    *,
    seed: int,
    limits: Callable[..., Limits],
    bots: list[Bot],
    database: DatabaseServer,
    store: LeaseStore,
    services: Services,
    on_turn: Callable[[str, str, StartTurn], None],
    log: Callable[[str, str, dict[str, Any]], None],
) -> Iterator[None]:
    """Give the product simulated clocks, ids, chance, connections and log."""
    ids = random.Random(f"{seed}/ids")

    def new_id() -> uuid.UUID:
        return uuid.UUID(int=ids.getrandbits(128), version=4)

    async def connect_database(*_: object, **__: object) -> DatabaseServer:
        return database

    def open_redis(settings: Settings) -> RedisClient | None:
        return connect(store) if settings.redis_dsn is not None else None

    with ExitStack() as stack:
        for target, name, replacement in (
            (time, "monotonic", _clock("monotonic", time.monotonic)),
            (time, "time", _clock("wall", time.time)),
            (time, "time_ns", _wall_ns(time.time_ns)),
            (uuid, "uuid4", new_id),
            (storage.time_ordered_id, "os", SimpleNamespace(urandom=ids.randbytes)),
            (Database, "connect", connect_database),
            (RedisClient, "from_settings", open_redis),
            (storage.redis_channels, "Redis", listeners_of(store)),
            (storage.writer, "_WRITES", simulated_writes()),
            (actors.sweeper, "find_stuck", _find_none),
            # So that starts are held in every other seed, though few conversations have work.
            (actors.turn_work, "MANY_BUSY", 0 if seed % 2 else actors.turn_work.MANY_BUSY),
            (actors.ai, "HttpClient", lambda: services),
            (actors.platform, "HttpClient", lambda: services),
            (actors.router, "SHARD_COUNT", FEW_SHARDS),
            (actors.runner, "Limits", limits),
            (actors.bot_config, "bots_of", lambda rows: bots if rows else []),
            (TurnWork, "start", _noted(TurnWork.start, on_turn)),
        ):
            stack.enter_context(mock.patch.object(target, name, replacement))
        stack.enter_context(_log_to(log))
        before = random.getstate()
        stack.callback(random.setstate, before)
        random.seed(f"{seed}/product")
        yield


def limits_of(*, is_tight: bool) -> Callable[..., Limits]:
    """Return what the runner calls to make its limits."""
    names = TIGHT.__dataclass_fields__ if is_tight else ()
    return partial(Limits, **{name: getattr(TIGHT, name) for name in names})


def _clock(name: str, real: Callable[[], float]) -> Callable[[], float]:
    def read() -> float:
        process = current_process()
        if process is None:
            return real()
        moment: float = getattr(process, name)()
        return moment

    return read


def _wall_ns(real: Callable[[], int]) -> Callable[[], int]:
    def read() -> int:
        process = current_process()
        return real() if process is None else round(process.wall() * 1e9)

    return read


def _noted(start: Callable[..., Any], on_turn: Callable[[str, str, StartTurn], None]) -> Any:
    """Note the moment at which a host starts a turn: what it writes down may come much later."""

    def noted(work: TurnWork, seat: Seat, effect: StartTurn) -> Any:
        on_turn(work._resources.owner, seat.conversation_id, effect)
        return start(work, seat, effect)

    return noted


async def _find_none(*_: object) -> list[object]:
    """Whether anything is stuck is for the checker to say."""
    return []


@contextmanager
def _log_to(log: Callable[[str, str, dict[str, Any]], None]) -> Iterator[None]:
    """Hand the product's log lines to ``log(level, event, fields)``."""

    class Logger:
        def __init__(self, logger: object, processors: object, context: object) -> None:
            del logger, processors, context

        def bind(self, **_: object) -> Logger:
            return self

        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda event="", *_, **fields: log(level, event, fields)

    before = structlog.get_config()
    structlog.configure(wrapper_class=Logger, cache_logger_on_first_use=False)  # type: ignore[arg-type]
    try:
        yield
    finally:
        structlog.configure(**before)
