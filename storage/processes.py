"""Server programs as child processes: start, recognise, stop. Plain and blocking."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Identity",
    "ServerFailed",
    "command_line_of",
    "free_port",
    "is_running",
    "spawn",
    "stop_process",
    "tail_of",
    "wait_until",
]

LARGEST_LOG_BYTES = 16 * 1024 * 1024
POLL_SECONDS = 0.02


class ServerFailed(RuntimeError):
    """A server program did not start, or did not stop; the text is for a person."""


@dataclass(frozen=True)
class Identity:
    """The system user that a program runs as."""

    name: str
    user_id: int
    group_id: int

    @classmethod
    def of(cls, name: str) -> Identity:
        """Look a user up by name; raises ``KeyError`` if there is none."""
        entry = pwd.getpwnam(name)
        return cls(name, entry.pw_uid, entry.pw_gid)


def spawn(
    arguments: Sequence[str | Path], log: Path, identity: Identity | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that a Ctrl-C at the terminal misses it.

    Its output goes to the end of ``log``, which begins anew once it is large.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    fresh = not log.exists() or log.stat().st_size > LARGEST_LOG_BYTES
    with log.open("wb" if fresh else "ab") as output:
        log.chmod(0o600)
        return subprocess.Popen(  # noqa: S603 - the caller names the program by its full path
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            user=identity.user_id if identity else None,
            group=identity.group_id if identity else None,
            extra_groups=[] if identity else None,
        )


def command_line_of(process_id: int) -> str | None:
    """Return the command line of a running process; None if there is none (zombies included)."""
    try:
        content = Path(f"/proc/{process_id}/cmdline").read_bytes()
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
        listing = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "args=", "-p", str(process_id)],
            capture_output=True,
            text=True,
            check=False,
        )
        return listing.stdout.strip() or None
    return content.replace(b"\0", b" ").decode(errors="replace").strip() or None


def is_running(process_id: int, mark: str) -> bool:
    """Whether the process runs and its command line holds ``mark``.

    A process id alone proves nothing: after a restart of the machine it is somebody else's.
    """
    return mark in (command_line_of(process_id) or "")


def stop_process(
    process_id: int,
    mark: str,
    signals: Sequence[tuple[signal.Signals, float]],
    child: subprocess.Popen[bytes] | None = None,
) -> None:
    """Send one signal after the other, each with its seconds to wait, until the process is gone.

    Raises ``ServerFailed`` if it outlives them all.
    """

    def is_gone() -> bool:
        if child is not None and child.pid == process_id:
            return child.poll() is not None
        return not is_running(process_id, mark)

    for number, seconds in signals:
        if is_gone():
            return
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            return
        if wait_until(is_gone, seconds):
            return
    raise ServerFailed(f"process {process_id} does not stop")


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Poll until the condition holds; return whether it did in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def tail_of(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log file, to show why a server failed."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
