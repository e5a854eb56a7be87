"""The product on a Ray cluster of several machines."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stack.ray_nodes import Machine, RayCluster
from tests.stack.server import Server

__all__ = ["ingress_on", "product_on"]


def product_on(cluster: RayCluster, directory: Path, settings: dict[str, str]) -> Server:
    """Return ``chat-orchestrator up`` on the head's machine, not started."""
    joining = {**settings, **cluster.environment(), "RAY_ADDRESS": cluster.address}
    return Server(directory, **joining)


def ingress_on(machine: Machine, product: Server, directory: Path) -> Server:
    """Return ``uvicorn ingress.app:app`` on another machine, not started."""
    ingress = Server(directory)
    ingress.environment = product.environment
    ingress.command = [
        sys.executable,
        "-m",
        "tests.stack.on_machine",
        machine.address,
        str(ingress.port),
    ]
    return ingress
