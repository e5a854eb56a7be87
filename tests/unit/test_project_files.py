"""The files beside the packages agree with them: nothing else would notice before a user does."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from storage.setting_files import FILE_SUFFIX
from storage.settings import Settings

ROOT = Path(__file__).parents[2]
NOT_SETTINGS = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}  # Ray reads them itself
COMPOSE_FILES = ["docker-compose.yml", "docker-compose.prod.yml"]
CLUSTER_FILES = ["cluster.yaml", "deploy/cluster-aws.yaml"]
SECRET_NAMES = ("_TOKEN", "_PASSWORD", "_SECRET")
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


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_hands_settings_on_by_names_that_exist(name: str) -> None:
    services = load_yaml(name)["services"]
    ours = [it for it in services.values() if it.get("image") == "chat-orchestrator"]
    assert len(ours) >= 2
    for service in ours:
        names = {it.removesuffix(FILE_SUFFIX) for it in service["environment"]}
        assert names <= settings_names() | NOT_SETTINGS


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_docker_compose_takes_the_file(name: str, tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose here (Debian: apt-get install docker-compose)")
    empty = tmp_path / ".env"
    empty.touch()
    # As the example asks for: whatever has no default is set.
    secrets = {it: "x" for it in example_variables() if it.endswith(SECRET_NAMES)}
    taken = subprocess.run(
        [program, "--env-file", empty, "--file", ROOT / name, "config", "--quiet"],
        env={"PATH": os.environ["PATH"], **secrets},
        capture_output=True,
        text=True,
        check=False,
    )
    assert taken.returncode == 0, taken.stderr


def test_production_keeps_every_secret_in_a_file() -> None:
    compose = load_yaml("docker-compose.prod.yml")
    environment = compose["x-environment"]
    assert [name for name in environment if name.endswith(SECRET_NAMES)] == []
    used = {
        Path(path).name
        for name, path in environment.items()
        if name.endswith((FILE_SUFFIX, "_TOKEN_PATH"))
    }
    given = set(compose["x-application"]["secrets"])
    assert used == given
    assert given | {"tls_certificate"} == set(compose["secrets"])
    assert all(it["file"].startswith("./secrets/") for it in compose["secrets"].values())
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_production_publishes_the_load_balancer_only() -> None:
    services = load_yaml("docker-compose.prod.yml")["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published.pop("balancer") == ["80:80", "443:443"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_load_balancer_knows_every_ingress() -> None:
    services = load_yaml("docker-compose.prod.yml")["services"]
    ingresses = {name for name in services if name.startswith("ingress-")}
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    assert set(re.findall(r"^ +server (\S+) \1:8000$", text, re.MULTILINE)) == ingresses
    assert len(ingresses) == 3


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


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_reads_only_variables_that_the_example_names(name: str) -> None:
    read = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / name).read_text()))
    assert read <= set(example_variables())


def test_haproxy_takes_the_configuration_of_the_load_balancer(tmp_path: Path) -> None:
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no haproxy here (Debian: apt-get install haproxy)")
    certificate = tmp_path / "certificate"
    trustme.CA().issue_cert("chat.example").private_key_and_cert_chain_pem.write_to_path(
        str(certificate)
    )
    checked = subprocess.run(
        [program, "-c", "-f", ROOT / "deploy" / "haproxy.cfg"],
        env={"TLS_CERTIFICATE": str(certificate)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", CLUSTER_FILES)
def test_ray_accepts_the_cluster_file(name: str) -> None:
    config = prepare_config(load_yaml(name))
    validate_config(config)
    assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("name", CLUSTER_FILES)
@pytest.mark.parametrize("commands", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_node_of_the_cluster_asks_for_the_token(name: str, commands: str) -> None:
    starts = [line for line in load_yaml(name)[commands] if "ray start" in line]
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
