"""The files beside the packages agree with them: nothing else would notice before a user does."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from storage.settings import Settings

ROOT = Path(__file__).parents[2]
NOT_SETTINGS = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}  # Ray reads them itself
MACHINE_PATH = re.compile(r"(?<![\w.~$}*])/(work|root|opt|home)/")
REGISTRY_HOST = re.compile(
    r"pyp[i]\.org|python[h]osted|(?<!emit-)index-url|find-links|trusted-host"
)


def settings_names() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def load_yaml(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def example_lines() -> list[str]:
    return (ROOT / ".env.example").read_text().splitlines()


def example_variables() -> dict[str, str]:
    assignments = [line for line in example_lines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in assignments)


@pytest.fixture
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings_names() & os.environ.keys():
        monkeypatch.delenv(name)


def test_example_environment_names_every_setting_and_nothing_else() -> None:
    assert set(example_variables()) == settings_names() | {"RAY_AUTH_TOKEN"}


@pytest.mark.usefixtures("_clean_environment")
def test_example_environment_holds_the_defaults() -> None:
    from_example = Settings(_env_file=ROOT / ".env.example")
    defaults = Settings(_env_file=None)
    assert from_example.model_dump() == defaults.model_dump()


def test_compose_hands_settings_on_by_names_that_exist() -> None:
    services = load_yaml("docker-compose.yml")["services"]
    for name in ("ray-head", "backend"):
        assert set(services[name]["environment"]) <= settings_names() | NOT_SETTINGS


def test_compose_publishes_on_this_machine_only() -> None:
    services = load_yaml("docker-compose.yml")["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_holds_no_secret() -> None:
    environment = load_yaml("docker-compose.yml")["x-environment"]
    secrets = [name for name in environment if name.endswith(("_TOKEN", "_PASSWORD", "_SECRET"))]
    assert secrets
    assert all(environment[name].startswith("${" + name + ":") for name in secrets)


def test_compose_reads_only_variables_that_the_example_names() -> None:
    read = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert read <= set(example_variables())


def test_ray_accepts_the_cluster_file() -> None:
    config = prepare_config(load_yaml("cluster.yaml"))
    validate_config(config)
    assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_node_of_the_cluster_asks_for_the_token(commands: str) -> None:
    starts = [line for line in load_yaml("cluster.yaml")[commands] if "ray start" in line]
    assert starts
    assert all("RAY_AUTH_MODE=token" in line for line in starts)


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", pin) for pin in pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    pinned = {pin.partition("==")[0] for pin in pins}
    assert {re.split(r"[\[>=]", requirement)[0] for requirement in wanted} <= pinned


def test_make_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert set(re.findall(r"^([a-z-]+):.*## .+$", makefile, re.MULTILINE)) == set(phony.split())


def test_the_check_run_is_a_program() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def tracked_texts() -> Iterator[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            yield name, path.read_text(errors="replace")


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["path", "registry"])
def test_no_file_tells_about_the_machine_it_was_written_on(pattern: re.Pattern[str]) -> None:
    telling = [name for name, text in tracked_texts() if pattern.search(text)]
    assert telling == []
