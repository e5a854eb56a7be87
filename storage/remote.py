"""Classes as Ray actors, the storage writer first of all."""

from __future__ import annotations

from typing import Any

import ray

from storage.log_config import configure_logging
from storage.writer import StorageWriter

__all__ = ["actor_class", "storage_writer_class"]


def actor_class(plain: type[Any], log_level: str, **options: Any) -> Any:
    """Return ``plain`` as an actor class whose process logs as all others do.

    ``options`` are Ray's (name, lifetime, resources, ...).
    """

    class Actor(plain):  # type: ignore[misc]
        def __init__(self, *arguments: object) -> None:
            configure_logging(log_level)
            super().__init__(*arguments)

    # Ray, `ps` and the dashboard show it by its name.
    Actor.__name__ = Actor.__qualname__ = plain.__name__
    Actor.__module__ = plain.__module__
    Actor.__doc__ = plain.__doc__
    return ray.remote(**options)(Actor)


def storage_writer_class(log_level: str, **options: Any) -> Any:
    """Return the writer's actor class; ``options`` are Ray's."""
    return actor_class(StorageWriter, log_level, **options)
