"""What calls over a connection of their own look like: frames, addresses, limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = [
    "MAX_CALLS",
    "MAX_FRAME_BYTES",
    "MAX_TOKEN_BYTES",
    "WELCOME",
    "Answer",
    "Call",
    "CallAddress",
    "FrameReader",
    "FrameTooLong",
    "frame",
    "watch_peer",
]

LENGTH_BYTES = 4
MAX_FRAME_BYTES = 536_870_912
"""Far more than the batches that travel: what is longer is not from one of us."""
MAX_TOKEN_BYTES = 256
MAX_CALLS = 1_000
"""Under way over one connection at a time. Callers keep to it; who makes more is cut off."""
WELCOME = 0
"""Number of the answer to the token; calls have others."""
_PATIENCE = {
    "TCP_KEEPIDLE": 2,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 5_000,
}
"""Seconds, a count, and milliseconds; not every system has them all."""


class FrameTooLong(ValueError):
    """A frame is longer than it may be."""


class CallAddress(msgspec.Struct, frozen=True):
    """Where an actor takes calls, and the token that says who may make them."""

    host: str
    port: int
    token: bytes

    def __repr__(self) -> str:
        return f"CallAddress({self.host}:{self.port})"


class Call(msgspec.Struct, array_like=True):
    """A method to be called. ``number`` tells the calls of a connection apart."""

    number: int
    method: str
    arguments: list[Any]


class Answer(msgspec.Struct, array_like=True):
    """What a call came to: its result, or the name of the exception that it raised."""

    number: int
    result: Any = None
    error: str | None = None


def frame(body: bytes) -> bytes:
    """Return ``body`` with its length before it. Raises ``FrameTooLong``."""
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLong(f"{len(body)} bytes")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class FrameReader:
    """Finds the frames in what a connection brings."""

    def __init__(self) -> None:
        self.max_bytes = MAX_FRAME_BYTES
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the bodies that are whole now. Raises ``FrameTooLong``."""
        self._received += data
        while len(self._received) >= LENGTH_BYTES:
            length = int.from_bytes(self._received[:LENGTH_BYTES], "big")
            if length > self.max_bytes:
                raise FrameTooLong(f"{length} bytes")
            end = LENGTH_BYTES + length
            if len(self._received) < end:
                return
            body = bytes(self._received[LENGTH_BYTES:end])
            del self._received[:end]
            yield body


def watch_peer(transport: asyncio.Transport) -> None:
    """Have a connection end within seconds when the machine at its other end is gone."""
    connected = transport.get_extra_info("socket")
    if connected is None:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PATIENCE.items():
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
