"""Three bridges, three replicas, Redis and HAProxy, each of which is killed, stopped and drained while calls go on."""
