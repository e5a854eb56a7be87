"""Which hosts there are follows the machines of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from actors import scaling
from actors.nodes import Node, host_names
from actors.ports import PeerUnavailable
from actors.roster import Roster
from storage.settings import Settings

HEAD = Node(node_id="a" * 56, is_head=True, has_cpus=True)
WORKER = Node(node_id="b" * 56, is_head=False, has_cpus=True)
SILENT: Callable[[str], bool] = lambda name: True  # noqa: E731


class Ray:
    """Machines that come and go, and what was made on them."""

    def __init__(self, *nodes: Node) -> None:
        self.machines = list(nodes)
        self.is_away = False
        self.made: list[tuple[str, str | None]] = []
        self.ended: list[str] = []
        self.ending: set[str] = set()
        self.asked: list[list[dict[str, float]]] = []

    async def nodes(self) -> list[Node]:
        if self.is_away:
            raise PeerUnavailable("Ray's head: GetTimeoutError")
        return self.machines

    async def make_host(self, name: str, node_id: str) -> None:
        self.made.append((name, node_id))

    async def make_writer(self, name: str) -> None:
        self.made.append((name, None))

    async def make_ingress(self, name: str, node: Node) -> bool:
        if name in self.ending:
            return False
        self.made.append((name, node.node_id))
        return True

    async def end_host(self, name: str) -> None:
        self.ended.append(name)

    async def end_ingress(self, name: str) -> None:
        self.ended.append(name)

    async def ask_for_machines(self, bundles: Sequence[dict[str, float]]) -> None:
        self.asked.append(list(bundles))


def roster_of(ray: Ray, busy: int = 0, **settings: Any) -> Roster:
    given = {"conversation_hosts": 2, "storage_writers": 1, **settings}
    return Roster(ray, Settings(_env_file=None, **given), lambda: busy)


def test_each_node_with_cpus_has_hosts_and_those_of_the_head_have_plain_names() -> None:
    http_only = Node(node_id="c" * 56, is_head=False, has_cpus=False)
    assert host_names([HEAD, http_only, WORKER], 2) == {
        "host-0": HEAD,
        "host-1": HEAD,
        "host-bbbbbbbb-0": WORKER,
        "host-bbbbbbbb-1": WORKER,
    }


async def test_hosts_are_made_on_their_nodes_and_writers_once() -> None:
    ray = Ray(HEAD, WORKER)
    roster = roster_of(ray)
    await roster.look(SILENT)
    await roster.look(lambda name: name == "host-1")
    assert ray.made == [
        ("writer-0", None),
        ("host-0", HEAD.node_id),
        ("host-1", HEAD.node_id),
        ("host-bbbbbbbb-0", WORKER.node_id),
        ("host-bbbbbbbb-1", WORKER.node_id),
        ("host-1", HEAD.node_id),
    ]


async def test_while_rays_head_is_away_nothing_is_known_and_nothing_changes() -> None:
    ray = Ray(HEAD)
    roster = roster_of(ray)
    ray.is_away = True
    assert await roster.look(SILENT) is None
    ray.is_away = False
    assert await roster.look(SILENT) == host_names([HEAD], 2)


async def test_a_node_that_is_drained_gets_no_new_hosts() -> None:
    ray = Ray(HEAD, Node(node_id="b" * 56, is_head=False, has_cpus=True, is_draining=True))
    hosts = await roster_of(ray).look(SILENT)
    assert hosts is not None
    assert "host-bbbbbbbb-0" in hosts  # it is there until the node is gone
    assert {name for name, _ in ray.made} == {"writer-0", "host-0", "host-1"}


async def test_each_node_with_hosts_has_one_http_server_where_the_settings_want_it() -> None:
    http_only = Node(node_id="c" * 56, is_head=False, has_cpus=False)
    ray = Ray(HEAD, WORKER, http_only)
    roster = roster_of(ray, ingress_on_nodes=True)
    await roster.look(SILENT)
    await roster.look(SILENT)
    servers = [made for made in ray.made if made[0].startswith("ingress-")]
    assert servers == [("ingress-aaaaaaaa", HEAD.node_id), ("ingress-bbbbbbbb", WORKER.node_id)]


async def test_the_http_server_of_a_node_that_leaves_is_ended_once() -> None:
    ray = Ray(HEAD, WORKER)
    roster = roster_of(ray, ingress_on_nodes=True)
    await roster.look(SILENT)
    ray.machines = [HEAD, replace(WORKER, is_draining=True)]
    await roster.look(SILENT)
    await roster.look(SILENT)
    ray.machines = [HEAD]
    await roster.look(SILENT)
    assert ray.ended == ["ingress-bbbbbbbb"]


async def test_a_server_that_is_still_ending_is_made_again_later() -> None:
    ray = Ray(HEAD)
    roster = roster_of(ray, ingress_on_nodes=True)
    ray.ending.add("ingress-aaaaaaaa")
    await roster.look(SILENT)
    ray.ending.clear()
    await roster.look(SILENT)
    assert [name for name, _ in ray.made].count("ingress-aaaaaaaa") == 1


async def test_without_scaling_nothing_is_asked_of_ray_and_nothing_is_spare() -> None:
    ray = Ray(HEAD, WORKER)
    hosts = await roster_of(ray).look(SILENT)
    assert ray.asked == []
    assert hosts is not None
    assert not any(node.is_leaving for node in hosts.values())


async def test_ray_is_asked_for_machines_when_the_need_changes() -> None:
    ray = Ray(HEAD)
    busy = [0]
    settings = Settings(
        conversation_hosts=2, autoscale_max_nodes=3, autoscale_host_busy=50, _env_file=None
    )
    roster = Roster(ray, settings, lambda: busy[0])
    await roster.look(SILENT)
    await roster.look(SILENT)
    busy[0] = 250
    await roster.look(SILENT)
    assert ray.asked == [[{"CPU": 1.0}], [{"CPU": 1.0}] * 3]


async def test_the_hosts_of_a_spare_machine_leave_and_are_not_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = Ray(HEAD, WORKER)
    roster = roster_of(ray, autoscale_max_nodes=2, conversation_hosts=1)
    await roster.look(SILENT)
    monkeypatch.setattr(scaling, "CALM_SECONDS", -1.0)
    talking = await roster.look(lambda name: False)
    silent = await roster.look(SILENT)
    assert talking is not None
    assert [name for name, node in talking.items() if node.is_spare] == ["host-bbbbbbbb-0"]
    assert silent is not None
    assert set(silent) == {"host-0"}
