"""``chat-orchestrator up``: everything on this machine, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import functools
import importlib
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol, cast

import structlog
from pydantic import SecretStr
from starlette.types import ASGIApp

from actors.ray_environment import prepare_ray_environment
from ingress.access_reload import AccessReload
from ingress.ports import Gateway
from ingress.ray_folder import FolderTaken, fresh_ray_folder
from ingress.run_file import RunFile
from ingress.server import IngressServer
from ingress.stop_request import StopRequest
from storage.embedded import DataFolder, EmbeddedServers
from storage.migrate import migrate
from storage.processes import ServerFailed
from storage.settings import Settings

__all__ = ["START_STEPS", "Cluster", "StartFailed", "run_everything"]

WATCH_SECONDS = 1.0
START_STEPS = 6
"""How often ``tell`` is called on the way to the announcement."""

_log = structlog.get_logger(__name__)
Tell = Callable[[str], None]
MakeApp = Callable[[Settings, Gateway], AbstractAsyncContextManager[ASGIApp]]


class StartFailed(RuntimeError):
    """Something did not start, or ended by itself; the text is for a person."""


class OpenGateway(Gateway, Protocol):
    """A gateway that was opened here."""

    def end_waits(self) -> None:
        """Let callers go without an outcome: their turns are in the database."""
        ...

    async def close(self) -> None:
        """Stop listening to the actors."""
        ...


class Cluster(Protocol):
    """The actors' side, as ``actors.remote`` offers it."""

    def start_cluster(self, settings: Settings, directory: Path) -> str:
        """Start Ray on this machine and connect to it; return its address."""
        ...

    def join_cluster(self, settings: Settings) -> None:
        """Connect this process to Ray at ``settings.ray_address``."""
        ...

    def leave_cluster(self) -> None:
        """Disconnect from Ray; what of it was started here ends."""
        ...

    async def deploy(self, settings: Settings, ingress_class: type[object]) -> None:
        """Create the actors that are not there yet."""
        ...

    async def open_gateway(self, settings: Settings) -> OpenGateway:
        """Return the way to the actors, once they serve."""
        ...

    async def stop(self, settings: Settings) -> None:
        """Let turns under way finish, for a while, and end the actors."""
        ...


async def run_everything(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[Settings], None],
    *,
    with_redis: bool = True,
    cluster: Cluster | None = None,
    make_app: MakeApp | None = None,
    tell: Tell = lambda step: None,
    reload: AccessReload | None = None,
) -> None:
    """Start all that the settings do not place elsewhere, serve, and stop it when asked to.

    ``tell`` is called with the name of each step of the start as it begins.

    Without ``with_redis`` none is started, and one that the settings name is not used.

    ``announce`` is called once requests are taken, with the settings that then hold; the run
    file it leaves is removed here. ``reload`` says how tokens are read again.
    Raises ``StartFailed``, ``ServerFailed`` or ``AlreadyRunning``, with everything stopped again.
    """
    cluster = cluster or _cluster(settings)
    make_app = make_app or _make_app(reload)
    if not with_redis:
        settings = settings.model_copy(update={"redis_url": None, "redis_host": None})
    stop = StopRequest()
    async with AsyncExitStack() as stack:
        stack.callback(DataFolder(settings.data_dir).close)
        tell("Starting PostgreSQL and Valkey, where none are given")
        settings = await _start_servers(settings, with_redis, stop, stack)
        if stop.was_made():
            return
        tell("Bringing the tables up to date")
        await _migrate(settings)
        if stop.was_made():
            return
        settings, gateway = await _start_actors(cluster, settings, stop, stack, tell)
        if stop.was_made():
            return
        tell("Opening the HTTP server")
        app = await stack.enter_async_context(make_app(settings, gateway))
        server = IngressServer(app, before_closing=gateway.end_waits)
        await _serve(server, settings, listener, stop, announce)


async def _start_actors(
    cluster: Cluster, settings: Settings, stop: StopRequest, stack: AsyncExitStack, tell: Tell
) -> tuple[Settings, OpenGateway]:
    """Start or join Ray, and the actors; return settings that lead there, and the way to them."""
    try:
        stack.callback(cluster.leave_cluster)
        if settings.ray_address is None:
            tell("Starting Ray")
            address = cluster.start_cluster(settings, fresh_ray_folder(settings.data_dir))
            settings = settings.model_copy(update={"ray_address": address})
        else:
            tell("Joining the Ray cluster")
            cluster.join_cluster(settings)
        stop.listen()  # Ray has taken SIGTERM for itself
        stack.push_async_callback(cluster.stop, settings)
        tell("Starting hosts and writers")
        await cluster.deploy(settings, _ingress_class())
        tell("Waiting until they serve")
        gateway = await cluster.open_gateway(settings)
        stack.push_async_callback(gateway.close)
    except TimeoutError:
        raise StartFailed("the actors do not serve; Ray's logs say why") from None
    except FolderTaken as error:
        raise StartFailed(str(error)) from None
    except (ConnectionError, OSError, RuntimeError) as error:
        raise StartFailed(f"Ray does not start: {error}") from error
    return settings, gateway


async def _start_servers(
    settings: Settings, with_redis: bool, stop: StopRequest, stack: AsyncExitStack
) -> Settings:
    """Start the embedded servers that are needed; return settings that lead to them."""
    servers = EmbeddedServers(
        settings.data_dir,
        with_postgres=settings.postgres_dsn is None,
        with_valkey=settings.redis_dsn is None and with_redis,
    )
    stack.push_async_callback(asyncio.to_thread, servers.stop)
    await asyncio.to_thread(servers.start)
    stack.push_async_callback(_finish, asyncio.create_task(_watch(servers, stop)), stop)
    if settings.ray_address is not None and servers.database_url is not None:
        _log.warning("Other machines of the Ray cluster do not reach this machine's PostgreSQL")
    found = {"database_url": servers.database_url, "redis_url": servers.redis_url}
    return settings.model_copy(
        update={name: SecretStr(url) for name, url in found.items() if url is not None}
    )


async def _finish(watch: asyncio.Task[None], stop: StopRequest) -> None:
    stop.make()
    await watch


async def _watch(servers: EmbeddedServers, stop: StopRequest) -> None:
    """Start embedded servers again when they die; clients reconnect by themselves."""
    while not await stop.wait(WATCH_SECONDS):
        try:
            for name in await asyncio.to_thread(servers.restart_fallen):
                _log.warning("Restarted an embedded server that had died", server=name)
        except ServerFailed as error:
            _log.error("An embedded server has died and does not start", error=str(error))


async def _migrate(settings: Settings) -> None:
    if settings.postgres_dsn is None:
        raise StartFailed("there is no database")
    try:
        await migrate(settings.postgres_dsn)
    except Exception as error:
        # Whatever Alembic or the driver raise: at this point it ends the start.
        raise StartFailed(f"the database cannot be migrated: {error}") from error


async def _serve(
    server: IngressServer,
    settings: Settings,
    listener: socket.socket,
    stop: StopRequest,
    announce: Callable[[Settings], None],
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait({serving, stopping, ready}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            announce(settings)
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            raise StartFailed("the HTTP server has ended by itself; the log says why")
    finally:
        RunFile.remove(settings.data_dir)
        server.should_exit = True
        await serving
        for waiting in (stopping, ready):
            waiting.cancel()


def api_url_of(settings: Settings) -> str:
    """Return where this machine reaches the server."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    host = everywhere.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _cluster(settings: Settings) -> Cluster:
    """Import the actors late: Ray takes a second, and its environment must be set before."""
    # A cluster that is there already has a token, which Ray may find in a file of its own.
    is_local = settings.ray_address is None
    prepare_ray_environment(make_token=is_local, is_local=is_local)
    return cast("Cluster", importlib.import_module("actors.remote"))


def _ingress_class() -> type[object]:
    return cast("type[object]", importlib.import_module("ingress.node_ingress").NodeIngress)


def _make_app(reload: AccessReload | None) -> MakeApp:
    open_application = importlib.import_module("ingress.factory").open_application
    return cast("MakeApp", functools.partial(open_application, reload=reload))
