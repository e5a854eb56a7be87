"""Which hosts there are follows the machines of the cluster."""

from __future__ import annotations

from collections.abc import Callable

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

    async def nodes(self) -> list[Node]:
        if self.is_away:
            raise PeerUnavailable("Ray's head: GetTimeoutError")
        return self.machines

    async def make_host(self, name: str, node_id: str) -> None:
        self.made.append((name, node_id))

    async def make_writer(self, name: str) -> None:
        self.made.append((name, None))


def roster_of(ray: Ray) -> Roster:
    settings = Settings(conversation_hosts=2, storage_writers=1, _env_file=None)
    return Roster(ray, settings)


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
