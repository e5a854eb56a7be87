"""Everything that is compared, each started in turn with the same stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.endpoint import MESSAGE_PATH, Endpoint
from benchmarks.product import product
from benchmarks.programs import program, stub
from benchmarks.run import Run
from storage.embedded import EmbeddedServers
from storage.processes import free_port

__all__ = [
    "Stubs",
    "System",
    "actor_per_conversation",
    "ceiling",
    "lock_per_request",
    "product_system",
    "stubs",
]

DELAY_MS = 50.0
UVICORN_OPTIONS = "--no-access-log --log-level warning --timeout-keep-alive 75 --backlog 4096"
RAY_SETTINGS = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""As the product starts Ray."""


@dataclass(frozen=True)
class Stubs:
    """The addresses of both."""

    ai_url: str
    platform_url: str


@dataclass(frozen=True)
class System:
    """A name, and how to start it: ``with system.start(run, stubs) as endpoint``."""

    name: str
    start: Callable[[Run, Stubs], AbstractContextManager[Endpoint]]


@contextmanager
def stubs(
    run: Run, ai_delay_ms: float = DELAY_MS, platform_delay_ms: float = DELAY_MS
) -> Iterator[Stubs]:
    """Run both stubs until the block ends."""
    folder = run.folder("stubs")
    with (
        stub("ai", ai_delay_ms, folder / "ai.log") as ai_url,
        stub("platform", platform_delay_ms, folder / "platform.log") as platform_url,
    ):
        yield Stubs(ai_url, platform_url)


def product_system(settings: Mapping[str, str] | None = None, name: str = "product") -> System:
    """Return the product, with settings of its own if need be."""

    @contextmanager
    def start(run: Run, both: Stubs) -> Iterator[Endpoint]:
        with product(run, both.ai_url, both.platform_url, settings) as running:
            yield running.endpoint
            data = running.data
        run.discard(data)

    return System(name, start)


def ceiling(workers: int) -> System:
    """Return bare Starlette with the two calls, in so many processes."""
    name = f"ceiling, {_counted(workers)}"
    return System(name, _served(name, "ceiling", workers, with_servers=False))


def lock_per_request(workers: int, *, is_tuned: bool) -> System:
    """Return the usual design, as it is usually written or tuned."""
    name = f"lock per request, {'tuned, ' if is_tuned else ''}{_counted(workers)}"
    settings = {"TUNED": "1" if is_tuned else ""}
    served = _served(name, "lock_per_request", workers, with_servers=True, settings=settings)
    return System(name, served)


def actor_per_conversation(conversations: int) -> System:
    """Return the design with a process for each of so many conversations."""
    name = f"actor per conversation, {conversations} of them"
    settings = {"CONVERSATIONS": str(conversations), **RAY_SETTINGS}
    served = _served(name, "actor_per_conversation", 1, with_servers=True, settings=settings)
    return System(name, served)


def _counted(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


def _served(
    name: str,
    module: str,
    workers: int,
    *,
    with_servers: bool,
    settings: Mapping[str, str] | None = None,
) -> Callable[[Run, Stubs], AbstractContextManager[Endpoint]]:
    """Return how to start a baseline under uvicorn, with servers for it if it stores."""

    @contextmanager
    def start(run: Run, both: Stubs) -> Iterator[Endpoint]:
        folder = run.folder(module[:4])
        environment = {"AI_URL": both.ai_url, "PLATFORM_URL": both.platform_url}
        with ExitStack() as stack:
            stack.callback(run.discard, folder)
            if with_servers:
                servers = EmbeddedServers(folder, with_postgres=True, with_valkey=True)
                stack.callback(servers.stop)
                servers.start()
                environment["DATABASE_URL"] = servers.database_url or ""
                environment["REDIS_URL"] = servers.redis_url or ""
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            options = f"--port {port} --workers {workers} {UVICORN_OPTIONS}"
            stack.enter_context(
                program(
                    "uvicorn",
                    f"benchmarks.baselines.{module}:app",
                    *options.split(),
                    ready_url=f"{url}/health",
                    log=folder / "uvicorn.log",
                    settings={**environment, **(settings or {})},
                )
            )
            yield Endpoint(name, url + MESSAGE_PATH)

    return start
