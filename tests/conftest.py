"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def in_an_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work where there is no ``.env``: the checkout's is somebody's own."""
    before = os.getcwd()  # noqa: PTH109 -- and back by the same name
    os.chdir(tmp_path_factory.mktemp("empty"))
    yield
    os.chdir(before)
