"""Programs that a measurement needs, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from storage.processes import free_port, tail_of

__all__ = ["ProgramFailed", "environment_with", "program", "requests_of", "stub"]

ROOT = Path(__file__).parents[1]
START_SECONDS = 120.0
STOP_SECONDS = 60.0
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class ProgramFailed(RuntimeError):
    """A program did not start; the text shows the end of its log."""


def environment_with(settings: Mapping[str, str]) -> dict[str, str]:
    """Return a small environment, in which the packages of this checkout are found."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


@contextmanager
def program(
    module: str, *arguments: str, ready_url: str, log: Path, settings: Mapping[str, str]
) -> Iterator[psutil.Process]:
    """Run ``python -m module`` until the block ends; it begins when ``ready_url`` answers 200.

    Raises ``ProgramFailed``.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=log.parent,  # not the checkout: its .env is somebody's own
            env=environment_with(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the benchmarks, which stop it in order
        )
    try:
        _wait_until_ready(process, ready_url, module, log)
        yield psutil.Process(process.pid)
    finally:
        _stop(process)


@contextmanager
def stub(kind: str, delay_ms: float, log: Path) -> Iterator[str]:
    """Run one of the two stubs; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ready_url = f"{url}/requests"
    arguments = (str(port), kind, str(delay_ms))
    with program("benchmarks.stubs", *arguments, ready_url=ready_url, log=log, settings={}):
        yield url


def requests_of(stub_url: str) -> int:
    """Return how many requests a stub has had, besides those of this kind."""
    with urllib.request.urlopen(f"{stub_url}/requests", timeout=5) as answer:  # noqa: S310
        return int(answer.read())


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, name: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ProgramFailed(f"{name} ended:\n{tail_of(log, 40)}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise ProgramFailed(f"{name} did not start:\n{tail_of(log, 40)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, then end what is left of it and of its children."""
    if process.poll() is None:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            for left in family:
                if left.is_running():
                    left.kill()
            process.wait()
