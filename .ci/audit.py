"""Looks up what constraints.txt names among the known vulnerabilities, with pip-audit.

Where the service that knows them cannot be reached, that is said, and is no failure: nothing was
found out. pip-audit itself calls packages that it could not look up "no known vulnerabilities".
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROBE = "pip"
"""A package that the service knows for certain."""
LIMIT_SECONDS = 300


def look_up(requirements: Path) -> list[dict[str, Any]] | None:
    """Return what is known of each package; None if the service cannot be asked."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", *options, "-r", str(requirements)]
    try:
        done = subprocess.run(  # noqa: S603 - fixed but for the path
            command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return found


def is_within_reach(pins: list[str]) -> bool:
    """Whether the service answers, for one package."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(next(pin for pin in pins if pin.startswith(f"{PROBE}==")))
        found = look_up(requirements)
    return bool(found) and not any("skip_reason" in it for it in found or ())


def main() -> int:
    """Print what is known; return 1 if there is anything to do."""
    constraints = ROOT / "constraints.txt"
    pins = [it for it in constraints.read_text().splitlines() if not it.startswith("#")]
    found = look_up(constraints) if is_within_reach(pins) else None
    if found is None:
        say("NOT AUDITED: no service that knows vulnerabilities is within reach")
        return 0
    vulnerable = [it for it in found if it.get("vulns")]
    skipped = [it for it in found if "skip_reason" in it]
    for it in vulnerable:
        for flaw in it["vulns"]:
            fixed = ", ".join(flaw["fix_versions"]) or "no version"
            say(f"{it['name']} {it['version']}: {flaw['id']}, mended in {fixed}")
    for it in skipped:
        say(f"{it['name']}: not audited: {it['skip_reason']}")
    say(f"{len(found) - len(skipped)} packages audited, {len(vulnerable)} vulnerable")
    return 1 if vulnerable or skipped else 0


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
