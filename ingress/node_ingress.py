"""The HTTP server of a machine of the cluster, where each is to have one of its own."""

from __future__ import annotations

import asyncio
import socket

import structlog

from actors.gateway import Gateway
from ingress.factory import open_application
from ingress.server import IngressServer, PortInUse, bind_listener
from storage.log_config import configure_logging
from storage.settings import Settings
from storage.tasks import keep_running, wait_at_most

__all__ = ["NodeIngress"]

log = structlog.get_logger()

RETRY_SECONDS = 5.0


class NodeIngress:
    """Serves on one address as soon as it is made, until it is told to stop.

    Made to be a Ray actor. Where something else serves there already (``up``, say) it waits until
    that has gone.
    """

    def __init__(self, name: str, settings: Settings, address: str) -> None:
        configure_logging(settings.effective_log_level, name)
        self._name = name
        self._settings = settings
        self._address = address
        self._server: IngressServer | None = None
        self._is_stopping = asyncio.Event()
        # Ray makes an actor with coroutines in its event loop.
        self._serving = asyncio.create_task(keep_running("serve", self._serve))

    def __repr__(self) -> str:
        return f"NodeIngress({self._address}:{self._settings.api_port})"

    async def stop(self) -> None:
        """Take no more requests, and return when those under way are answered."""
        self._is_stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        # Ray takes a while to import, and is there already where this runs as an actor.
        from actors.remote import open_gateway  # noqa: PLC0415

        while not self._is_stopping.is_set():
            try:
                with bind_listener(self._address, self._settings.api_port) as listener:
                    gateway = await open_gateway(self._settings)
                    try:
                        await self._serve_on(listener, gateway)
                    finally:
                        await gateway.close()
            except PortInUse as error:
                log.info("address_in_use", error=str(error))
            await wait_at_most(self._is_stopping, RETRY_SECONDS)

    async def _serve_on(self, listener: socket.socket, gateway: Gateway) -> None:
        async with open_application(self._settings, gateway) as app:
            self._server = IngressServer(app, before_closing=gateway.end_waits)
            self._server.should_exit = self._is_stopping.is_set()
            log.info("node_serves", address=self._address)
            try:
                await self._server.serve(sockets=[listener])
            finally:
                self._server = None
