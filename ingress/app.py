"""The application that a server runs: ``uvicorn ingress.app:app``.

Nothing happens when this is imported. The environment is read, and everything connected, when the
server starts up; all of it is closed when the server shuts down.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from actors.ray_environment import prepare_ray_environment
from ingress.access_reload import AccessReload
from ingress.factory import open_application
from ingress.lifespan import LifespanApplication
from ingress.run_file import join_running
from storage.log_config import configure_logging
from storage.settings import Settings, load_settings

__all__ = ["app"]


@asynccontextmanager
async def _join() -> AsyncIterator[ASGIApp]:
    """Join the running cluster and serve.

    Raises ``InvalidSettings``, or ``ConnectionError`` or ``TimeoutError`` if there is no cluster.
    """
    settings = join_running(load_settings(), os.environ)
    settings, made_tokens = settings.with_generated_tokens()
    configure_logging(settings.effective_log_level)
    for name, token in made_tokens.items():
        print(f"{name}={token}", flush=True)  # noqa: T201 (made for this start, shown once)
    prepare_ray_environment()
    # Ray takes a while to import, and reads its environment then.
    from actors.remote import join_cluster, leave_cluster, open_gateway  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        join_cluster(settings)
        stack.callback(leave_cluster)
        gateway = await open_gateway(settings)
        stack.push_async_callback(gateway.close)
        yield await stack.enter_async_context(
            open_application(settings, gateway, AccessReload(_read_again))
        )


def _read_again() -> Settings:
    return join_running(load_settings(), dict(os.environ))


app = LifespanApplication(_join)
