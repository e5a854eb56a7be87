"""A TCP proxy between the product and PostgreSQL or Redis, with a network's faults at command."""

from tests.stack.proxy.proxy import Proxy, proxy_to_postgres, proxy_to_redis
from tests.stack.proxy.rules import Direction, Rule, Trigger, Wrong

__all__ = [
    "Direction",
    "Proxy",
    "Rule",
    "Trigger",
    "Wrong",
    "proxy_to_postgres",
    "proxy_to_redis",
]
