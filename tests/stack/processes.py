"""The processes of a running product, and what was left of it."""

from __future__ import annotations

import os
import signal
import time
from urllib.parse import urlsplit

import psutil

from tests.stack.server import Server

__all__ = [
    "actor_processes",
    "busiest_host",
    "kill_actor",
    "memory_of",
    "process_tree",
    "still_running",
]


def process_tree(server: Server) -> list[psutil.Process]:
    """Return the server's process and everything that it has started, directly or not."""
    assert server.process is not None
    root = psutil.Process(server.process.pid)
    found = [root, *root.children(recursive=True)]
    # Servers of its own are in its data folder, and hang on to it by their command lines.
    known = {process.pid for process in found}
    return found + [
        process
        for process in psutil.process_iter()
        if process.pid not in known and str(server.data_dir) in _command_line(process)
    ]


def actor_processes(server: Server, kind: str) -> list[psutil.Process]:
    """Return the processes of this server's actors of one class, oldest first."""
    found = [it for it in process_tree(server) if _command_line(it).startswith(f"ray::{kind}")]
    return sorted(found, key=lambda process: process.create_time())


def kill_actor(server: Server, kind: str) -> psutil.Process:
    """End one actor of a class as a power cut would; return the process that was."""
    victim = actor_processes(server, kind)[0]
    os.kill(victim.pid, signal.SIGKILL)
    return victim


def busiest_host(server: Server, stubs_url: str) -> psutil.Process:
    """Return the host that is asking the AI service most now: those that it talks to tell.

    Which of two hosts has a conversation follows from their ids, and one of them may have come
    too late for any.
    """
    port = urlsplit(stubs_url).port

    def calls_of(process: psutil.Process) -> int:
        established = [
            it for it in process.net_connections("tcp") if it.status == psutil.CONN_ESTABLISHED
        ]
        return sum(1 for it in established if it.raddr.port == port)

    return max(actor_processes(server, "ConversationHost"), key=calls_of)


def memory_of(server: Server) -> dict[int, int]:
    """Return the bytes that each process of the product takes, the ingress among them."""
    assert server.process is not None
    processes = [psutil.Process(server.process.pid)]
    for kind in ("ConversationHost", "StorageWriter", "Supervisor"):
        processes += actor_processes(server, kind)
    return {it.pid: it.memory_info().rss for it in processes}


def still_running(processes: list[psutil.Process], timeout_seconds: float) -> list[str]:
    """Wait until all have ended; return the command lines of those that have not in time."""
    end = time.monotonic() + timeout_seconds
    while True:
        left = [process for process in processes if _is_alive(process)]
        if not left or time.monotonic() > end:
            return [_command_line(process) for process in left]
        time.sleep(0.1)


def _is_alive(process: psutil.Process) -> bool:
    # `is_running` compares the start time too: the id may be somebody else's by now.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return ""
