"""The command line: ``chat-orchestrator up | migrate | status``."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, NoReturn

import typer
import uvloop

from ingress.greeting import greeting
from ingress.run_file import RAY_TOKEN_VARIABLE, RunFile, join_running
from ingress.server import PortInUse, bind_listener
from ingress.status import ServerNotReached, describe, fetch_status
from ingress.up import StartFailed, api_url_of, run_everything
from storage.embedded import AlreadyRunning
from storage.log_config import configure_logging
from storage.migrate import upgrade_to_head
from storage.processes import ServerFailed
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
    given = {"api_host": host, "api_port": port}
    settings = _settings(**{name: value for name, value in given.items() if value is not None})
    settings, made_tokens = settings.with_generated_tokens()
    configure_logging(settings.effective_log_level)

    had_ray_token = RAY_TOKEN_VARIABLE in os.environ

    def announce(running: Settings) -> None:
        ray_token = os.environ.get(RAY_TOKEN_VARIABLE)
        RunFile.of(running, api_url_of(running), ray_token).write(running.data_dir)
        if ray_token and not had_ray_token:
            made_tokens[RAY_TOKEN_VARIABLE] = ray_token
        typer.echo(greeting(running, made_tokens))

    try:
        with (
            bind_listener(settings.api_host, settings.api_port) as listener,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            typer.echo(f"Starting; data in {settings.data_dir}")
            runner.run(run_everything(settings, listener, announce, with_redis=not no_redis))
    except (AlreadyRunning, PortInUse, ServerFailed, StartFailed) as error:
        _fail(str(error))
    typer.echo("Stopped.")


@app.command()
def migrate() -> None:
    """Bring the database to the newest version (= alembic upgrade head)."""
    settings = join_running(_settings(), os.environ)
    if settings.postgres_dsn is None:
        _fail("no database: set DATABASE_URL or POSTGRES_HOST (`up` migrates its own by itself)")
    try:
        upgrade_to_head(settings.postgres_dsn)
    except Exception as error:  # of Alembic, of the driver: to a person they are the same
        _fail(f"the database cannot be migrated: {error}")
    typer.echo("The database is at the newest version.")


@app.command()
def status() -> None:
    """Show hosts, leases and queues of the running server."""
    settings = join_running(_settings(), os.environ)
    running = RunFile.read(settings.data_dir)
    if settings.admin_access_token is None:
        _fail(
            "no server runs on this data folder; start one with `chat-orchestrator up`, or set "
            "API_HOST, API_PORT and ADMIN_ACCESS_TOKEN"
        )
    url = running.api_url if running else api_url_of(settings)
    try:
        found = fetch_status(url, settings.admin_access_token.get_secret_value())
    except ServerNotReached as error:
        _fail(str(error))
    typer.echo(f"Server       {url}")
    typer.echo(describe(found))


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
