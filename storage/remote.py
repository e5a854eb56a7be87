"""The storage writer as a Ray actor."""

from __future__ import annotations

from typing import Any

import ray

from storage.writer import StorageWriter

__all__ = ["storage_writer_class"]


def storage_writer_class(**options: Any) -> Any:
    """Return the actor class; ``options`` are Ray's (name, lifetime, resources, ...)."""
    return ray.remote(**options)(StorageWriter)
