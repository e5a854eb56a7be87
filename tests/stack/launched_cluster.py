"""``cluster.yaml`` brought up by Ray's launcher, on machines that are played by this one.

Each machine is an address and a home of its own behind an sshd of its own, which ssh talks to
without a port (``ProxyCommand``). What the file runs on them is changed no more than it must be
where several machines are one: see ``_adapted``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.stack.processes import still_running
from tests.stack.server import free_port

__all__ = ["WORKERS", "LaunchedCluster", "missing_programs"]

ROOT = Path(__file__).parents[2]
SSHD = Path("/usr/sbin/sshd")
BIN = Path(sys.executable).parent
PROGRAMS = ("ssh", "ssh-keygen", "rsync", "tmux")
HEAD = "127.0.0.2"
WORKERS = ("127.0.0.3", "127.0.0.4")
COMMAND_SECONDS = 240.0
STOP_SECONDS = 30.0
OBJECT_STORE_BYTES = 80_000_000
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
CONFIGURATION = "cluster.yaml"
SSH = f"""#!/bin/sh
for it; do
  shift
  case $before$it in "-i~/"*) it="$HOME/${{it#??}}";; esac
  set -- "$@" "$it"
  before=$it
done
exec {shutil.which("ssh")} -o "ProxyCommand=%s" "$@"
"""
"""Of the machines: Ray's launcher keeps ``ssh_proxy_command`` to itself."""


def missing_programs() -> list[str]:
    """Return what this machine lacks for it."""
    missing = [it for it in PROGRAMS if shutil.which(it) is None]
    return missing if SSHD.exists() else [*missing, str(SSHD)]


class LaunchedCluster:
    """A head and workers; ``settings`` are the ``.env`` of the checkout."""

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self.directory = directory
        self._port = free_port()
        self.checkout = directory / "checkout"
        self.address = f"{HEAD}:{self._port}"
        self._proxy = f"{SSHD} -i -f {directory}/%h.conf"
        self._home = directory / "home"
        self._home.mkdir()
        # Ray's sockets need a short path.
        self._folder = Path(tempfile.mkdtemp(prefix="rl-"))
        for name in ("host_key", "key"):
            self._local("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name))
        Path("/run/sshd").mkdir(exist_ok=True)
        for address in (HEAD, *WORKERS):
            self._make_machine(address)
        shutil.copytree(ROOT, self.checkout, ignore=NOT_COPIED)
        # There may be other nodes of Ray on this machine, so that `auto` finds one of theirs.
        settings = {**settings, "RAY_ADDRESS": self.address}
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.checkout / ".env").write_text("".join(lines))
        self._name = f"launched-{secrets.token_hex(4)}"
        configuration = yaml.safe_load((ROOT / CONFIGURATION).read_text())
        (self.checkout / CONFIGURATION).write_text(yaml.safe_dump(self._adapted(configuration)))

    def up(self) -> str:
        """Run ``ray up``."""
        return self.ray("up", "--yes", "--no-config-cache", CONFIGURATION)

    def execute(self, command: str, *options: str) -> str:
        """Run ``ray exec``."""
        return self.ray("exec", *options, CONFIGURATION, command)

    def ray(self, *arguments: str) -> str:
        """Run Ray's own program in the checkout; return what it says."""
        return self._local(str(BIN / "ray"), *arguments)

    def close(self) -> None:
        """End whatever runs on the machines, and remove their files."""
        self._keep_logs()
        left = [it for it in psutil.process_iter() if self._is_ours(it)]
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        stuck = still_running(left, STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)
        for path in Path("/tmp/ray").glob(f"cluster-{self._name}.*"):  # noqa: S108 (Ray's choice)
            path.unlink()
        assert not stuck, stuck

    def _keep_logs(self) -> None:
        """Keep what would say why something did not come up."""
        for path in self._folder.glob("*/session_latest/logs/monitor*"):
            shutil.copy(path, self.directory)
        terminal = subprocess.run(
            ["tmux", "capture-pane", "-p", "-S", "-"],
            env={**os.environ, "TMUX_TMPDIR": str(self.directory / HEAD)},
            capture_output=True,
            check=False,
        )
        (self.directory / "terminal.log").write_bytes(terminal.stdout)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("HOME", "").startswith(str(self.directory))
        except psutil.Error:
            return False

    def _local(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.checkout if self.checkout.exists() else self.directory,
            env={
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "HOME": str(self._home),
                "TMPDIR": str(self._home),  # for Ray's caches
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        with (self.directory / "launcher.log").open("a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def _make_machine(self, address: str) -> None:
        home = self.directory / address
        home.mkdir()
        # sshd begins in the user's own home, and ssh takes that for ~: not in that of the machine.
        (home / ".bashrc").write_text('cd\nexport PATH="$HOME/bin:$PATH"\n')
        (home / "bin").mkdir()
        (home / "bin" / "ssh").write_text(SSH % self._proxy)
        (home / "bin" / "ssh").chmod(0o755)
        variables = {
            "HOME": home,
            "TMUX_TMPDIR": home,
            "MACHINE": address,
            "RAY_FOLDER": self._folder / address.rpartition(".")[2],
        }
        (self.directory / f"{address}.conf").write_text(
            f"HostKey {self.directory / 'host_key'}\n"
            f"AuthorizedKeysFile {self.directory / 'key.pub'}\n"
            "StrictModes no\n"
            "UsePAM no\n"
            "PidFile none\n"
            f"SetEnv {' '.join(f'{name}={value}' for name, value in variables.items())}\n"
        )

    def _adapted(self, configuration: dict[str, Any]) -> dict[str, Any]:
        # Nothing is installed: the packages are those of the tests, the product that of the copy.
        programs = {"ray": BIN / "ray", "chat-orchestrator": f"{sys.executable} -m ingress.cli"}
        setup = ["mkdir -p ~/chat-orchestrator/.venv/bin"]
        for name, program in programs.items():
            path = f"~/chat-orchestrator/.venv/bin/{name}"
            script = f'PYTHONPATH=$HOME/chat-orchestrator exec {program} "$@"'
            setup.append(f"echo '{script}' > {path} && chmod +x {path}")
        return {
            **configuration,
            "cluster_name": self._name,
            "provider": {"type": "local", "head_ip": HEAD, "worker_ips": list(WORKERS)},
            "auth": {
                "ssh_user": "root",
                "ssh_private_key": str(self.directory / "key"),
                "ssh_proxy_command": self._proxy,
            },
            "setup_commands": setup,
            "head_start_ray_commands": [
                self._start(configuration["head_start_ray_commands"])
                + f" --include-dashboard=false --dashboard-port={free_port()}"
            ],
            "worker_start_ray_commands": [
                self._start(configuration["worker_start_ray_commands"]) + " --num-cpus=1"
            ],
        }

    def _start(self, commands: list[str]) -> str:
        """Return what starts Ray; without `ray stop`, which ends every Ray of this machine."""
        stop, start = commands
        assert stop.endswith("/ray stop")
        start = start.replace("6379", str(self._port)).replace(" --metrics-export-port=8080", "")
        return (
            f"{start.strip()} --node-ip-address=$MACHINE --temp-dir=$RAY_FOLDER"
            f" --object-store-memory={OBJECT_STORE_BYTES} --min-worker-port=0 --max-worker-port=0"
            " --dashboard-agent-listen-port=0"
        )
