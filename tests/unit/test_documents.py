"""What the documents name exists, and what exists to be set or run is documented."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote

import pytest
from typer.main import get_command

from ingress.cli import app
from storage.setting_files import FILE_SUFFIX
from storage.settings import Settings
from tests.guides import ROOT, blocks

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"(?<![\w.-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*]|\.md)")
CODE = re.compile(r"^```\w*\n.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"(?:`|^|&& |; )(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)", re.MULTILINE)
COMMAND = re.compile(r"(?<![\w/-])chat-orchestrator ([a-z]+)\b(?!\.)")
OPTION = re.compile(r"chat-orchestrator ([a-z]+)((?: [^`|;&\n]*)?)")
SOURCE_PATH = re.compile(
    r"`((?:actors|ingress|storage|tests|docs|benchmarks|monitoring)/[\w./-]+)`"
)

NOT_SETTINGS = {
    # of Ray, which reads them itself
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_AUTH_MODE",
    "RAY_REDIS_ADDRESS",
    "RAY_USE_TLS",
    # of make, which hands them on
    "TEST_SERVERS",
    # of any setting: NAME_FILE
    "NAME",
    # no variable: a reason that Ray's command takes
    "DRAIN_NODE_REASON_PREEMPTION",
}


def documents() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        return sorted(str(it.relative_to(ROOT)) for it in ROOT.glob("docs/*.md"))
    names = [it for it in listing.stdout.splitlines() if (ROOT / it).is_file()]
    return sorted(it for it in names if not it.startswith("ingress/static/"))


DOCUMENTS = documents()
GUIDES = [it for it in DOCUMENTS if it.startswith("docs/") or it == "README.md"]


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def code_of(name: str) -> str:
    """Return what a document has as code, in blocks and between words."""
    return "\n".join(CODE.findall(text_of(name)))


def anchors_of(name: str) -> set[str]:
    """Return the anchors of a document's headings, as code hosts make them."""
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text_of(name))):
        plain = LINK.sub(lambda it: it[0][1 : it[0].index("]")], heading).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 1
        unique = anchor
        while unique in anchors:
            unique, number = f"{anchor}-{number}", number + 1
        anchors.add(unique)
    return anchors


def broken_links(name: str) -> Iterator[str]:
    for link in LINK.findall(FENCED.sub("", text_of(name))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / unquote(path) if path else ROOT / name
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and target.suffix == ".md":
            found = anchors_of(str(target.resolve().relative_to(ROOT.resolve())))
            if anchor not in found:
                yield f"{link}: there is no such heading"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_within_the_documents_leads_somewhere(name: str) -> None:
    assert list(broken_links(name)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(MAKE.findall(code_of(name))) - targets == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_is_named_exists(name: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(COMMAND.findall(code_of(name))) - set(commands) == set()
    for command, arguments in OPTION.findall(code_of(name)):
        if command in commands:
            known = {option for it in commands[command].params for option in it.opts}
            assert set(re.findall(r"--[a-z-]+", arguments)) - known - {"--help"} == set()


def test_every_command_is_documented() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    told = set(COMMAND.findall("\n".join(map(code_of, GUIDES))))
    assert set(commands) - told == set()


@pytest.mark.parametrize("name", GUIDES)
def test_every_environment_variable_that_is_named_exists(name: str) -> None:
    settings = {it.upper() for it in Settings.model_fields}
    constants = constant_names()
    named = {it.removesuffix(FILE_SUFFIX) for it in VARIABLE.findall(text_of(name))}
    assert {it for it in named - settings - NOT_SETTINGS if it not in constants} == set()


def constant_names() -> set[str]:
    """Return the names in capitals that the code has: documents about it may use them."""
    names: set[str] = set()
    for folder in ("actors", "ingress", "storage", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            names.update(re.findall(r"^([A-Z][A-Z0-9_]+)\b.*=", path.read_text(), re.MULTILINE))
    return names


def test_every_setting_is_documented() -> None:
    told = "\n".join(map(text_of, [*GUIDES, ".env.example"]))
    settings = {it.upper() for it in Settings.model_fields}
    assert {it for it in settings if not re.search(rf"\b{it}\b", told)} == set()


def test_every_setting_is_explained_beside_its_default() -> None:
    """A comment stands before each group of variables; a section's title is one too."""
    lines = text_of(".env.example").splitlines()
    assert lines[0].startswith("#")
    for before, line in pairwise(lines):
        assert not (re.match(r"[A-Z_]+=", line) and before == ""), line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_named_exists(name: str) -> None:
    missing = [it for it in SOURCE_PATH.findall(text_of(name)) if not (ROOT / it).exists()]
    assert missing == []


def test_the_index_leads_to_every_document() -> None:
    linked = {it.partition("#")[0] for it in LINK.findall(text_of("docs/README.md"))}
    pages = {it.name for it in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - linked == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_json_example_is_json(name: str) -> None:
    for line, kind, text in blocks(name):
        if kind == "json":
            try:
                json.loads(text)
            except ValueError as error:
                raise AssertionError(f"{name}:{line}: {error}") from None
