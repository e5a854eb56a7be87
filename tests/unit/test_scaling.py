"""How many machines are asked for follows the work, and not each of its moments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.nodes import Node
from actors.scaling import CALM_SECONDS, Scaling
from storage.settings import Settings
from tests.unit.test_nodes import HEAD, WORKER

HEADING_ONLY = replace(HEAD, has_cpus=False, cpus=0.0)
WORKERS = [replace(WORKER, node_id=letter * 56, cpus=4.0) for letter in "bcdef"]
NODES = [HEADING_ONLY, *WORKERS[:1]]


def scaling(least: int = 1, most: int = 4) -> Scaling:
    return Scaling(
        Settings(
            conversation_hosts=2,
            autoscale_min_nodes=least,
            autoscale_max_nodes=most,
            autoscale_host_busy=50,
            _env_file=None,
        )
    )


@pytest.mark.parametrize(
    ("busy", "machines"), [(0, 1), (100, 1), (101, 2), (300, 3), (301, 4), (9999, 4)]
)
def test_each_machine_is_for_so_many_conversations_with_work(busy: int, machines: int) -> None:
    made = scaling()
    made.decide(NODES, 0, 0.0)
    made.decide(NODES, busy, 1.0)
    assert made.wanted == machines


def test_what_is_asked_for_is_one_whole_machine_each() -> None:
    made = scaling()
    made.decide(NODES, 0, 0.0)
    made.decide(NODES, 250, 1.0)
    assert made.bundles(NODES) == [{"CPU": 4.0}] * 3


def test_where_no_machine_has_cpus_any_is_asked_for() -> None:
    made = scaling(least=2)
    made.decide([HEADING_ONLY], 0, 0.0)
    assert made.bundles([HEADING_ONLY]) == [{"CPU": 1.0}] * 2


def test_at_the_start_all_that_are_there_count_as_needed() -> None:
    made = scaling()
    assert made.decide([HEADING_ONLY, *WORKERS[:3]], 0, 0.0) == frozenset()
    assert made.wanted == 3


def test_machines_are_given_up_only_after_a_calm_time() -> None:
    made = scaling()
    nodes = [HEADING_ONLY, *WORKERS[:3]]
    made.decide(nodes, 0, 0.0)
    assert made.decide(nodes, 0, CALM_SECONDS / 2) == frozenset()
    spare = made.decide(nodes, 0, CALM_SECONDS * 3)
    assert made.wanted == 1
    assert spare == {WORKERS[1].node_id, WORKERS[2].node_id}


def test_a_peak_holds_for_the_calm_time_and_what_came_after_it_decides_then() -> None:
    made = scaling()
    made.decide(NODES, 0, 0.0)
    made.decide(NODES, 400, 10.0)
    made.decide(NODES, 150, 20.0)
    made.decide(NODES, 0, 30.0)
    assert made.wanted == 4
    made.decide(NODES, 0, 10.0 + CALM_SECONDS + 1)
    assert made.wanted == 2
    made.decide(NODES, 0, 20.0 + CALM_SECONDS + 1)
    assert made.wanted == 1


def test_work_that_comes_back_takes_the_spare_machine_again() -> None:
    made = scaling()
    nodes = [HEADING_ONLY, *WORKERS[:2]]
    made.decide(nodes, 0, 0.0)
    made.decide(nodes, 0, 1.0)
    assert made.decide(nodes, 0, CALM_SECONDS * 2) == {WORKERS[1].node_id}
    assert made.decide(nodes, 150, CALM_SECONDS * 2 + 1) == frozenset()


def test_the_head_and_the_supervisors_machine_stay_and_a_spare_one_stays_spare() -> None:
    own = replace(WORKERS[2], is_own=True)
    made = scaling()
    nodes = [HEAD, WORKERS[1], own]
    made.decide(nodes, 0, 0.0)
    made.decide(nodes, 150, 1.0)
    assert made.decide(nodes, 150, CALM_SECONDS * 2) == {WORKERS[1].node_id}
    # A machine that joins with a lower id takes nobody's place.
    joined = [*nodes, WORKERS[0]]
    assert made.decide(joined, 250, CALM_SECONDS * 2 + 1) == {WORKERS[1].node_id}


def test_machines_that_are_drained_are_no_spare_ones_and_do_not_count() -> None:
    made = scaling()
    leaving: Node = replace(WORKERS[1], is_draining=True)
    assert made.decide([HEADING_ONLY, WORKERS[0], leaving], 0, 0.0) == frozenset()
    assert made.wanted == 1
