"""`python -m tests.engines.ray_cluster FOLDER CLIENT_PORT`: a Ray cluster of two nodes with a processor each, on loopback.

Prints the address of the cluster when both nodes are up. Each line on stdin removes the second node; the end of stdin ends the
cluster. `FOLDER` is short: Ray's sockets are in it.
"""

from __future__ import annotations

import contextlib
import io
import sys

from ray.cluster_utils import Cluster

HOST = "127.0.0.2"  # Ray replaces 127.0.0.1 in an address by that of the network


def main(folder: str, client_port: str) -> None:
    head = {
        "num_cpus": 1,
        "node_ip_address": HOST,
        "temp_dir": folder,
        "include_dashboard": False,
        "ray_client_server_port": int(client_port),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        cluster = Cluster(initialize_head=True, head_node_args=head)
        second = cluster.add_node(num_cpus=1, node_ip_address=HOST)
        cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("removed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
