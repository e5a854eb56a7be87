"""What is started on one machine is reached from that machine only."""

from __future__ import annotations

import ipaddress

import psutil

from tests.stack.server import Server


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


async def test_no_process_of_it_listens_to_other_machines(server: Server) -> None:
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    open_to_all, names = [], set()
    for process in (parent, *parent.children(recursive=True)):
        try:
            for it in process.net_connections("inet"):
                if it.status != psutil.CONN_LISTEN:
                    continue
                names.add(process.name())
                if not _is_loopback(it.laddr.ip):
                    open_to_all.append((process.name(), it.laddr))
        except psutil.Error:
            continue  # it has ended meanwhile
    assert open_to_all == []
    assert {"gcs_server", "raylet"} <= names
