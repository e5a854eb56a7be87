"""The command line: ``chat-orchestrator up | migrate | status | chat``."""

from __future__ import annotations

import asyncio
import os
import shlex
import uuid
from typing import Annotated, NoReturn

import typer
import uvloop

from ingress.access_reload import AccessReload
from ingress.greeting import greeting
from ingress.run_file import RAY_TOKEN_VARIABLE, RunFile, join_running
from ingress.running_server import NoServerFound, find_server
from ingress.server import PortInUse, bind_listener
from ingress.status import ServerNotReached, describe, fetch_status
from ingress.terminal.chat_client import ChatFailed
from ingress.terminal.progress import Steps
from ingress.terminal.run_chat import run_chat
from ingress.terminal.screen import PIPE_PAUSE_SECONDS, open_screen
from ingress.up import START_STEPS, StartFailed, api_url_of, run_everything
from storage.embedded import AlreadyRunning
from storage.log_config import configure_logging
from storage.migrate import upgrade_to_head
from storage.processes import ServerFailed
from storage.scheduling import work_in_batches
from storage.settings import InvalidSettings, Settings, load_settings

__all__ = ["main"]

app = typer.Typer(
    name="chat-orchestrator",
    help="Answers chat conversations one turn at a time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they hold secrets
)

EXIT_FAILED = 1
EXIT_MISUSED = 2


@app.command()
def up(
    no_redis: Annotated[
        bool, typer.Option("--no-redis", help="Run without Redis: leases in PostgreSQL.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on (API_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on (API_PORT).", min=1, max=65535)
    ] = None,
) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    PostgreSQL and Valkey are started where no DATABASE_URL or POSTGRES_HOST, no REDIS_URL or
    REDIS_HOST is given, and Ray where no RAY_ADDRESS is.
    """
    options = {"api_host": host, "api_port": port}
    given = {name: value for name, value in options.items() if value is not None}
    settings = _settings(**given)
    settings, made_tokens = settings.with_generated_tokens()
    configure_logging(settings.effective_log_level)
    work_in_batches()

    had_ray_token = RAY_TOKEN_VARIABLE in os.environ
    steps = Steps(START_STEPS)

    started = _Started()

    def announce(running: Settings) -> None:
        ray_token = os.environ.get(RAY_TOKEN_VARIABLE)
        started.tell(running)
        if ray_token and not had_ray_token:
            made_tokens[RAY_TOKEN_VARIABLE] = ray_token
        typer.echo(greeting(running, made_tokens))

    try:
        with (
            bind_listener(settings.api_host, settings.api_port) as listener,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            typer.echo(f"Starting; data in {settings.data_dir}")
            reload = AccessReload(lambda: load_settings(**given), started.tell_access)
            runner.run(
                run_everything(
                    settings,
                    listener,
                    announce,
                    with_redis=not no_redis,
                    tell=steps.begin,
                    reload=reload,
                )
            )
    except (AlreadyRunning, PortInUse, ServerFailed, StartFailed) as error:
        _fail(str(error))
    typer.echo("Stopped.")


class _Started:
    """Keeps the run file up to date."""

    def __init__(self) -> None:
        self._running: Settings | None = None

    def tell(self, running: Settings) -> None:
        """Write what holds now."""
        self._running = running
        RunFile.of(running, api_url_of(running), os.environ).write(running.data_dir)

    def tell_access(self, newer: Settings) -> None:
        """Write the tokens that hold now."""
        if self._running is not None:  # else the start tells them
            self.tell(self._running.with_access_of(newer))


@app.command()
def migrate() -> None:
    """Bring the database to the newest version (= alembic upgrade head)."""
    settings = join_running(_settings(), os.environ)
    if settings.postgres_dsn is None:
        _fail("no database: set DATABASE_URL or POSTGRES_HOST (`up` migrates its own by itself)")
    try:
        upgrade_to_head(settings.postgres_dsn, lambda step: typer.echo(f"Applied {step}"))
    except Exception as error:  # of Alembic, of the driver: to a person they are the same
        _fail(f"the database cannot be migrated: {error}")
    typer.echo("The database is at the newest version.")


@app.command()
def status() -> None:
    """Show hosts, leases and queues of the running server."""
    try:
        server = find_server(_settings())
        if server.admin_token is None:
            _fail(f"set ADMIN_ACCESS_TOKEN to the one of {server.url}")
        found = fetch_status(server.url, server.admin_token.get_secret_value())
    except (NoServerFound, ServerNotReached) as error:
        _fail(str(error))
    typer.echo(f"Server       {server.url}")
    typer.echo(describe(found))


@app.command()
def chat(
    bot: Annotated[str | None, typer.Option(help="The bot to talk to.")] = None,
    conversation: Annotated[
        str | None, typer.Option(help="Go on with this conversation.", show_default="a new one")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="The server.", show_default="the one that runs here")
    ] = None,
    pause: Annotated[
        float, typer.Option(help="Seconds between lines that come from a pipe.", min=0)
    ] = PIPE_PAUSE_SECONDS,
) -> None:
    """Talk to the bot; turns, merges and actions are shown as they happen. Ctrl-D ends it.

    What is typed while the bot is busy waits for its next turn, as on the platform. Lines may come
    from a pipe as well.
    """
    conversation_id = conversation or f"chat_{uuid.uuid4().hex[:12]}"
    try:
        server = find_server(_settings(), url)
        token = server.any_token.get_secret_value()
        asyncio.run(run_chat(open_screen(pause), server.url, token, conversation_id, bot))
    except (NoServerFound, ChatFailed) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        typer.echo("")
    typer.echo(f"Go on with: chat-orchestrator chat --conversation {shlex.quote(conversation_id)}")


def main() -> None:
    """Run the command line."""
    app()


def _settings(**overrides: object) -> Settings:
    try:
        return load_settings(**overrides)
    except InvalidSettings as error:
        _fail(f"the settings are not usable:\n{error}", EXIT_MISUSED)


def _fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    typer.echo(f"chat-orchestrator: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
