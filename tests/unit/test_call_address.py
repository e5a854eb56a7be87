"""Where an actor says that it takes calls beside those of Ray."""

from __future__ import annotations

from typing import Any

import pytest

from storage.metric_types import Figures
from storage.remote import actor_class

HERE = "127.0.0.1"
NOWHERE = "203.0.113.1"


class Plain:
    """What is made an actor."""

    def figures(self) -> Figures:
        """Return none."""
        return {}


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an actor outside of Ray, with nothing running for it."""
    monkeypatch.setattr("storage.remote.configure_logging", lambda *_: None)
    monkeypatch.setattr("storage.remote.relax_garbage_collection", lambda: None)
    monkeypatch.setattr("storage.remote.keep_running", lambda *_: _nothing())
    return actor_class(Plain, "INFO", name="plain").__ray_metadata__.modified_class


async def _nothing() -> None:
    return None


async def test_an_address_of_the_machine_is_listened_at(
    actor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: HERE)
    made = actor()
    address = await made.call_address()
    assert (address.host, await made.call_address()) == (HERE, address)
    await made._call_server.close()


async def test_where_nothing_can_listen_ray_has_the_calls(
    actor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: NOWHERE)
    assert await actor().call_address() is None
