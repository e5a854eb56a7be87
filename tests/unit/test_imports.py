"""What import-linter cannot say: its contracts name packages, these rules mean all others."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("actors", "ingress", "storage")
ALLOWED = {
    "ray": {
        "actors/remote.py",
        "actors/remote_actors.py",
        "actors/remote_directory.py",
        "storage/remote.py",
    },
    "asyncpg": {"storage/postgres.py", "storage/kept_connections.py"},
}
READERS_OF_THE_ENVIRONMENT = {
    "ingress/app.py",
    "ingress/cli.py",
    "storage/migrations/env.py",  # `alembic upgrade head` is a program of its own
    "storage/settings.py",
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def importers_of(name: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if any(module.partition(".")[0] == name for module in imported(path))
    }


def test_the_rules_of_a_conversation_need_only_the_standard_library() -> None:
    def is_allowed(module: str) -> bool:
        own = module == "actors.conversation" or module.startswith("actors.conversation.")
        return own or module.partition(".")[0] in sys.stdlib_module_names

    outside = {
        (path.name, module)
        for path in modules("actors/conversation")
        for module in imported(path)
        if not is_allowed(module)
    }
    assert outside == set()


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_library_is_imported_where_it_belongs_only(name: str) -> None:
    assert importers_of(name) <= ALLOWED[name]


def test_redis_is_imported_in_its_neighbourhood_only() -> None:
    elsewhere = {name for name in importers_of("redis") if not name.startswith("storage/redis_")}
    assert elsewhere == set()


def test_the_settings_are_read_by_the_composition_root_only() -> None:
    callers = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Settings", "load_settings")
    }
    assert callers <= READERS_OF_THE_ENVIRONMENT
