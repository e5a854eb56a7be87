"""``uvicorn ingress.app:app`` on one of several machines that are played by this one.

A driver joins the Ray node of its own machine; here there are several to choose from.
"""

from __future__ import annotations

import functools
import sys

import ray
import uvicorn


def main() -> None:
    """Serve on the port that is the second argument, beside the node that the first names."""
    address, port = sys.argv[1:]
    ray.init = functools.partial(ray.init, _node_ip_address=address)
    uvicorn.run("ingress.app:app", host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main()
