"""A folder for Ray's own files: empty, closed to others, with a path that is short enough."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["FolderTaken", "fresh_ray_folder"]

RAY_FOLDER = "s"
LONGEST_RAY_PATH = 36
"""Ray adds up to 70 characters for its sockets, and 107 are all a socket may have."""


class FolderTaken(RuntimeError):
    """It belongs to another user; the text is for a person."""


def fresh_ray_folder(data_dir: Path) -> Path:
    """Return an empty folder for Ray, with a path short enough for the sockets in it.

    Raises ``FolderTaken``.
    """
    folder = data_dir / "ray"
    if len(str(folder / RAY_FOLDER)) > LONGEST_RAY_PATH:
        digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"chat-ray-{os.geteuid()}-{digest}"
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        raise FolderTaken(f"{folder} belongs to somebody else")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    # Ray opens the folder that it is given to everybody; so that one lies in a closed one.
    inner = folder / RAY_FOLDER
    inner.mkdir()
    return inner
