"""Alerts and dashboards speak of metrics that there are, and every alert is explained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.metric_types import Histogram
from storage.metrics import METRICS
from tests.unit.monitoring_cases import ALARMING, CALM

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
SELECTOR = re.compile(r"\b(?:ray_)?(chat_orchestrator_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=|!=)"([^"]*)"')
NOT_OURS = {"job", "instance"}
"""Labels that Prometheus gives."""
EVALUATED_AT = "40m"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield where each expression stands, and the expression."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def sample_names(name: str) -> set[str]:
    """Return the names under which the samples of a metric appear."""
    if isinstance(METRICS[name], Histogram):
        return {f"{name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    return {name}


SAMPLES = {sample: name for name in METRICS for sample in sample_names(name)}


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_an_expression_speaks_of_what_there_is(place: str, expression: str) -> None:
    selectors = SELECTOR.findall(expression)
    assert selectors or "up{" in expression, place
    for sample, matchers in selectors:
        metric = METRICS[SAMPLES[sample]]
        for label, value in MATCHER.findall(matchers):
            assert label == metric.label, place
            assert value in metric.values, place


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_an_expression_groups_by_labels_that_there_are(place: str, expression: str) -> None:
    labels = {
        metric.label
        for sample, _ in SELECTOR.findall(expression)
        for metric in [METRICS[SAMPLES[sample]]]
    }
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r", ?", group)) <= labels | {"le", "process"} | NOT_OURS, place


def test_every_metric_is_shown_somewhere() -> None:
    shown = {SAMPLES[name] for _, text in expressions() for name, _ in SELECTOR.findall(text)}
    assert shown == set(METRICS)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_told_apart_and_read(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert dashboard["uid"] == f"chat-orchestrator-{path.stem}"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel.get("targets", []):
            assert target["legendFormat"]
            assert target["datasource"]["uid"] == "prometheus"


def test_every_alert_has_its_section_in_the_runbook() -> None:
    text = (ROOT / "docs/OPERATING.md").read_text()
    section = text.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert headings == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        name = alert["alert"]
        assert alert["annotations"]["runbook"] == f"docs/OPERATING.md#{name.lower()}"
        assert f"### {name}\n\n*{alert['labels']['severity']}: " in section


def test_every_metric_is_explained() -> None:
    text = (ROOT / "docs/OPERATING.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [a-z, ]+ \| (.+) \|$", text, re.MULTILINE)
    explained = {f"chat_orchestrator_{name}": (kind, tells) for name, kind, tells in rows}
    assert explained.keys() == METRICS.keys()
    for name, metric in METRICS.items():
        label = f"; by `{metric.label}`" if metric.label else ""
        assert explained[name] == (metric.kind, metric.help_text.rstrip(".") + label)


def test_compose_starts_the_monitoring_only_when_asked_and_with_files_that_there_are() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    asked = {name: it for name, it in compose["services"].items() if "profiles" in it}
    assert {"prometheus", "grafana", "redisinsight", "pgadmin"} <= asked.keys()
    for service in asked.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists()
    grafana = MONITORING / "grafana/provisioning"
    (source,) = yaml.safe_load((grafana / "datasources/prometheus.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool (Debian: apt-get install prometheus)")
    return found


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus.local.yml"])
def test_prometheus_takes_its_configuration_and_the_rules(promtool: str, name: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "config", MONITORING / name],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_alert_goes_off_when_it_should_and_no_other_does(promtool: str, tmp_path: Path) -> None:
    assert set(ALARMING) == {alert["alert"] for alert in alerts()}
    worlds: dict[str, dict[str, str]] = {"": {}, **ALARMING}
    document = {
        "rule_files": [str(MONITORING / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [_rule_test(alert, changes) for alert, changes in worlds.items()],
    }
    path = tmp_path / "alerts.test.yml"
    path.write_text(yaml.safe_dump(document))
    checked = subprocess.run(
        [promtool, "test", "rules", path], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _rule_test(alert: str, changes: dict[str, str]) -> dict[str, Any]:
    """Return a test in promtool's language: after 40 minutes just this alert has gone off."""
    assert changes.keys() <= CALM.keys()
    world = {series: values for series, values in {**CALM, **changes}.items() if values}
    fired = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in world.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": EVALUATED_AT,
                "exp_samples": fired,
            }
        ],
    }
