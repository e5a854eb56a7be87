"""Several machines of a Ray cluster, played by one: a raylet each, under an address of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psutil

from tests.servers import RedisServer
from tests.stack.processes import still_running
from tests.stack.server import free_port

__all__ = ["Machine", "RayCluster"]

START_SECONDS = 90.0
ATTEMPTS = 3
STOP_SECONDS = 30.0
SERVICE_STOP_SECONDS = 10.0
"""What a service manager gives before it kills; Ray may need more to end its own processes."""
OBJECT_STORE_BYTES = 80_000_000

_RAY = Path(sys.executable).parent / "ray"
_READY = "Ray runtime started."


class Machine:
    """One machine: what runs on it ends with it."""

    def __init__(self, cluster: RayCluster, address: str, cpus: int, *, is_head: bool) -> None:
        self.address = address
        self._cluster = cluster
        self._cpus = cpus
        self._is_head = is_head
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folders: list[Path] = []
        self.log = cluster.directory / f"ray-{address}-{secrets.token_hex(3)}.log"

    def start(self) -> Self:
        """Start Ray on it, with a fresh temporary folder, and wait until it runs.

        On a machine with much else to do Ray may give up on itself: then it is tried again.
        """
        for _ in range(ATTEMPTS):
            if self._runs():
                return self
            self.cut_power()
        raise AssertionError(self.log.read_text(errors="replace")[-3000:])

    def _runs(self) -> bool:
        # Ray's sockets need a short path.
        folder = Path(tempfile.mkdtemp(prefix="rn-"))
        self._folders.append(folder)
        command = [
            str(_RAY),
            "start",
            "--block",
            f"--node-ip-address={self.address}",
            f"--temp-dir={folder}",
            f"--num-cpus={self._cpus}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--min-worker-port=0",
            "--max-worker-port=0",
            "--dashboard-agent-listen-port=0",
            *self._cluster.arguments(is_head=self._is_head),
        ]
        with self.log.open("wb") as log:
            started = subprocess.Popen(
                command,
                cwd=folder,
                env=self._cluster.environment(is_head=self._is_head),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(started)
        end = time.monotonic() + START_SECONDS
        while _READY not in self.log.read_text(errors="replace"):
            if started.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    @property
    def node_id(self) -> str:
        """Its id in Ray."""
        (raylet,) = [it for it in self.tree if it.name() == "raylet"]
        return next(it for it in raylet.cmdline() if it.startswith("--node_id=")).split("=")[1]

    @property
    def tree(self) -> list[psutil.Process]:
        """Everything of Ray that runs on it, the actors among it."""
        alive = [psutil.Process(it.pid) for it in self.processes if it.poll() is None]
        return alive + [child for it in alive for child in it.children(recursive=True)]

    def actors(self, kind: str) -> list[psutil.Process]:
        """Return the processes of actors of one class on it."""
        return [it for it in self.tree if " ".join(it.cmdline()).startswith(f"ray::{kind}")]

    def cut_power(self) -> None:
        """End everything on it at once."""
        tree = self.tree
        for process in tree:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # its parent took it along
        for started in self.processes:
            started.wait(STOP_SECONDS)
        left = still_running(tree, STOP_SECONDS)
        assert not left, left

    def shut_down(self) -> None:
        """Stop Ray on it as a service manager does."""
        tree = self.tree
        for started in self.processes:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
        if still_running(tree, SERVICE_STOP_SECONDS):
            self.cut_power()

    def remove(self) -> None:
        """End it and remove its files."""
        self.cut_power()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


class RayCluster:
    """A head and further machines. With ``redis`` the head keeps there what it knows.

    ``patience_seconds``: how long Ray's processes wait for a head that is away, then they end.
    """

    def __init__(
        self, directory: Path, redis: RedisServer | None = None, patience_seconds: int = 60
    ) -> None:
        self.directory = directory
        self._patience_seconds = patience_seconds
        self._redis = redis
        self._token = secrets.token_hex(16)
        self._port = free_port()
        self.machines: list[Machine] = []

    @property
    def address(self) -> str:
        """Where drivers and further machines join."""
        return f"{self.machines[0].address}:{self._port}"

    def add(self, cpus: int = 1) -> Machine:
        """Start a further machine; the first is the head."""
        number = len(self.machines)
        machine = Machine(self, f"127.0.0.{number + 2}", cpus, is_head=number == 0)
        self.machines.append(machine)
        return machine.start()

    def drain(self, machine: Machine) -> None:
        """Announce that a machine is about to be taken away, as an operator does."""
        subprocess.run(
            [
                str(_RAY),
                "drain-node",
                f"--address={self.address}",
                f"--node-id={machine.node_id}",
                "--reason=DRAIN_NODE_REASON_PREEMPTION",
                "--reason-message=maintenance",
            ],
            env=self.environment(),
            check=True,
            capture_output=True,
            timeout=START_SECONDS,
        )

    def environment(self, *, is_head: bool = False) -> dict[str, str]:
        """Return the variables that every process of the cluster needs."""
        variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            # A machine that is gone is known to be so within seconds.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_failure_threshold": "4",
            "RAY_gcs_rpc_server_reconnect_timeout_s": str(self._patience_seconds),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        if is_head and self._redis is not None:
            variables["RAY_REDIS_ADDRESS"] = f"127.0.0.1:{self._redis.port}"
        return variables

    def arguments(self, *, is_head: bool) -> list[str]:
        """Return what ``ray start`` is told of a machine's place in the cluster."""
        if not is_head:
            return [f"--address={self.address}"]
        head = ["--head", f"--port={self._port}", "--include-dashboard=false"]
        head.append(f"--dashboard-port={free_port()}")
        if self._redis is not None:
            head.append(f"--redis-password={urlsplit(self._redis.url).password}")
        return head

    def close(self) -> None:
        """End all machines, those that joined last first."""
        for machine in reversed(self.machines):
            machine.remove()
