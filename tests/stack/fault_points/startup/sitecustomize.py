"""Runs when a Python process starts that has this folder on its path."""

import os

if "FAULT_POINTS" in os.environ:
    from tests.stack.fault_points.hooks import install

    install()
