"""Machines for Ray's autoscaler to start and to take away, all played by this one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from tests.stack.ray_nodes import Machine, RayCluster

__all__ = ["AutoscaledCluster", "PlayedMachines"]

HEAD_ADDRESS = "127.0.0.2"
FIRST_ADDRESS = 101
"""The last part of the address of the first machine that the autoscaler starts."""


class AutoscaledCluster(RayCluster):
    """A head without CPUs, whose autoscaler starts up to ``most`` machines of one CPU.

    Ray's own fake cluster is not used: it ends every other Ray on this machine, and its wheel lacks
    a file for it. The autoscaler is Ray's; what it starts are machines as in other tests.
    """

    def __init__(self, directory: Path, most: int) -> None:
        super().__init__(directory)
        self._configuration = directory / "autoscaling.json"
        self._configuration.write_text(json.dumps(self._configured(most)))

    def environment(self, *, is_head: bool = False) -> dict[str, str]:
        """Return the variables that every process of the cluster needs."""
        return {**super().environment(is_head=is_head), "AUTOSCALER_UPDATE_INTERVAL_S": "1"}

    def arguments(self, *, is_head: bool) -> list[str]:
        """Return what ``ray start`` is told of a machine's place in the cluster."""
        found = super().arguments(is_head=is_head)
        return [*found, f"--autoscaling-config={self._configuration}"] if is_head else found

    @property
    def running(self) -> int:
        """How many machines run, the head among them."""
        return sum(it.name() == "raylet" for it in self.machines[0].tree)

    def _configured(self, most: int) -> dict[str, Any]:
        commands = ("setup_commands", "initialization_commands", "head_setup_commands")
        starts = ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
        return {
            "cluster_name": "played",
            "max_workers": most,
            "idle_timeout_minutes": 0.1,
            "upscaling_speed": 1.0,
            "provider": {
                "type": "external",
                "module": "tests.stack.played_machines.PlayedMachines",
                "head": f"{HEAD_ADDRESS}:{self._port}",
                "directory": str(self.directory),
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "auth": {},
            "available_node_types": {
                "head": {"resources": {}, "node_config": {}, "max_workers": 0},
                "hosts": {
                    "resources": {"CPU": 1},
                    "node_config": {},
                    "min_workers": 1,
                    "max_workers": most,
                },
            },
            "head_node_type": "head",
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
            "rsync_exclude": [],
            "rsync_filter": [],
            **{name: [] for name in (*commands, *starts)},
        }


class _Joined(RayCluster):
    """The cluster as the autoscaler's process sees it: it runs, and has its token."""

    def __init__(self, directory: Path, address: str) -> None:
        super().__init__(directory)
        self._address = address

    @property
    def address(self) -> str:
        """Where further machines join."""
        return self._address

    def environment(self, *, is_head: bool = False) -> dict[str, str]:
        """Return the variables of this process."""
        return dict(os.environ)


class PlayedMachines(NodeProvider):
    """Lives in the autoscaler's process. A machine's id is its address."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        head = str(provider_config["head"])
        folder = tempfile.mkdtemp(prefix="played-", dir=provider_config["directory"])
        self._cluster = _Joined(Path(folder), head)
        self._head = head.partition(":")[0]
        self._lock = Lock()
        self._machines: dict[str, Machine] = {}
        self._tags: dict[str, dict[str, str]] = {
            self._head: {
                TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
                TAG_RAY_USER_NODE_TYPE: "head",
                TAG_RAY_NODE_NAME: "head",
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            }
        }
        self._made = 0

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return those that run, with these tags."""
        with self._lock:
            return [id_ for id_, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        """Whether it runs."""
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        """Whether it does not."""
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return its tags."""
        return self._tags[node_id]

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Change some."""
        self._tags[node_id] |= tags

    def internal_ip(self, node_id: str) -> str:
        """Return its address."""
        return node_id

    def external_ip(self, node_id: str) -> str:
        """Return its address."""
        return node_id

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Start some."""
        for _ in range(count):
            with self._lock:
                address = f"127.0.0.{FIRST_ADDRESS + self._made}"
                self._made += 1
                machine = Machine(self._cluster, address, cpus=1, is_head=False)
                self._machines[address] = machine
                self._tags[address] = {
                    TAG_RAY_NODE_NAME: address,
                    **tags,
                    TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
                }
            machine.start()

    def terminate_node(self, node_id: str) -> None:
        """Take one away."""
        with self._lock:
            del self._tags[node_id]
            machine = self._machines.pop(node_id)
        machine.remove()
