"""Messages through the storage writer as a Ray actor, as ingresses and hosts reach it.

``python -m benchmarks.parts.ray_writer DATABASE_URL FOLDER`` prints how many were stored a second.
"""

from __future__ import annotations

import asyncio
import sys
import time

from actors.ray_environment import prepare_ray_environment
from benchmarks.parts.writer_rows import CONVERSATIONS, MESSAGES, encoded, messages


async def _measure(database_url: str) -> float:
    # Ray reads its environment when it is imported.
    from storage.remote import storage_writer_class  # noqa: PLC0415

    writer = storage_writer_class("WARNING", num_cpus=0, max_concurrency=100).remote(database_url)
    for batch in encoded(messages(500, CONVERSATIONS)):
        await writer.execute.remote(batch)
    batches = iter(encoded(messages(MESSAGES, CONVERSATIONS, 500)))

    async def caller() -> None:
        for batch in batches:
            await writer.execute.remote(batch)

    began = time.perf_counter()
    await asyncio.gather(caller(), caller())
    return MESSAGES / (time.perf_counter() - began)


def main() -> None:
    """Start Ray, measure and print."""
    database_url, folder = sys.argv[1:]
    prepare_ray_environment(make_token=True)
    import ray  # noqa: PLC0415

    ray.init(_temp_dir=folder, include_dashboard=False, log_to_driver=False)
    print(asyncio.run(_measure(database_url)))
    ray.shutdown()


if __name__ == "__main__":
    main()
