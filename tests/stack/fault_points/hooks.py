"""Inside the product's processes: patches modules as they are imported."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from functools import wraps
from types import ModuleType
from typing import Any

from tests.stack.fault_points.clocks import CLOCKED, set_clock
from tests.stack.fault_points.mutations import MUTATIONS_OF
from tests.stack.fault_points.places import PLACES

__all__ = ["install"]


class _Finder:
    """Finds the modules that are patched as they would be found, and has them patched."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not any(fullname in patched for patched in (PLACES, MUTATIONS_OF, CLOCKED)):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            _patch_after_loading(spec.loader)
        return spec


def _patch_after_loading(loader: Any) -> None:
    execute = loader.exec_module

    @wraps(execute)
    def exec_module(module: ModuleType) -> None:
        execute(module)
        for patches in (PLACES, MUTATIONS_OF):
            patch = patches.get(module.__name__)
            if patch is not None:
                patch(module)
        if module.__name__ in CLOCKED:
            set_clock(module)

    loader.exec_module = exec_module


def install() -> None:
    """Patch what this process will import."""
    sys.meta_path.insert(0, _Finder())
