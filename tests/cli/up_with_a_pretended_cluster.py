"""`chat-orchestrator` with the actors and the routes left out, for tests of all around them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ingress import cli, up
from storage.settings import Settings


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class PretendedGateway:
    def end_waits(self) -> None:
        say("nobody waits any more")

    async def close(self) -> None:
        say("gateway closed")


class PretendedCluster:
    def start_cluster(self, settings: Settings, directory: Path) -> str:
        assert not list(directory.iterdir())
        (directory / "session").touch()
        os.environ["RAY_AUTH_TOKEN"] = "ray-token"
        return "pretended:1"

    def join_cluster(self, settings: Settings) -> None:
        say(f"joined {settings.ray_address}")

    def leave_cluster(self) -> None:
        say("cluster left")

    async def deploy(self, settings: Settings, ingress_class: type[object]) -> None:
        if os.environ.get("FAIL_AT") == "deploy":
            raise TimeoutError

    async def open_gateway(self, settings: Settings) -> PretendedGateway:
        return PretendedGateway()

    async def stop(self, settings: Settings) -> None:
        say("actors stopped")


@contextlib.asynccontextmanager
async def open_application(settings: Settings, gateway: Any) -> AsyncIterator[Starlette]:
    async def slow(request: Request) -> PlainTextResponse:
        say("slow request")
        await asyncio.sleep(1)
        return PlainTextResponse("done")

    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    yield Starlette(routes=[Route("/slow", slow), Route("/health", health)])


# The real ones import Ray and the routes.
setattr(up, "_cluster", lambda _: PretendedCluster())  # noqa: B010
setattr(up, "_make_app", lambda _: open_application)  # noqa: B010
cli.main()
