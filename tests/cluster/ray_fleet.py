"""Has a Ray of its own start the cluster's replicas: python -m tests.cluster.ray_fleet PORT

They are listed at that port, under /replicas. Ends on SIGTERM, with all that Ray has started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from functools import partial

from engine.replicas.settings import ReplicaSettings
from tests.cluster.replicas import COUNT
from tests.cluster.worded_engine import WordedEngine
from tests.support.counting_engine import PACE_VARIABLE

DRAIN_S = 5.0


def main(port: int) -> int:
    """Starts them, and waits for SIGTERM."""
    import ray
    from ray import serve

    from engine.fleet.deployment import Plan, deploy_replicas

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ray.init(num_cpus=COUNT + 2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    try:
        settings = ReplicaSettings(engine_port=0, engine_min_replicas=COUNT, engine_max_replicas=COUNT)
        create = partial(WordedEngine, float(os.environ[PACE_VARIABLE]))
        deploy_replicas(Plan(create, settings, "", drain_s=DRAIN_S, gpus=0), "127.0.0.1", port)
        signal.signal(signal.SIGTERM, lambda *_: ended.set())  # Ray has handlers of its own
        print(json.dumps({"event": "ready"}), file=sys.stderr, flush=True)
        ended.wait()
    finally:
        serve.shutdown()
        ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
