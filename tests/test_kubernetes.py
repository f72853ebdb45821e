"""The manifests of docs/kubernetes, as far as they can be checked where no Kubernetes runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from bridge.__main__ import main
from bridge.config import FIELDS
from bridge.metrics import Metrics

kubernetes_validate = pytest.importorskip("kubernetes_validate")
ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "kubernetes").glob("*.yaml"))
MANIFESTS: list[dict[str, Any]] = [one for file in FILES for one in yaml.safe_load_all(file.read_text())]
DEPLOYMENTS = [one for one in MANIFESTS if one["kind"] == "Deployment"]


def named(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_each_follows_its_schema(manifest):
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(manifest, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifest, "spec": {"nothing": "known"}}, version, strict=True)


def test_all_kinds_are_there():
    assert {named(one) for one in MANIFESTS} >= {
        "Deployment talkspurt",
        "Service talkspurt",
        "PodDisruptionBudget talkspurt",
        "HorizontalPodAutoscaler talkspurt",
        "Deployment talkspurt-engine",
        "PodDisruptionBudget talkspurt-engine",
    }


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=named)
def test_each_variable_is_a_setting_and_each_port_has_its_probes(deployment):
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {one["name"].lower() for one in container["env"]} <= set(FIELDS) | {"pod_ip"}
    ports = {one["name"] for one in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        (asked,) = [container[probe][kind] for kind in ("httpGet", "tcpSocket") if kind in container[probe]]
        assert asked["port"] in ports
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["volumes"]}


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_each_selects_pods_that_there_are(kind):
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in DEPLOYMENTS]
    for one in MANIFESTS:
        if one["kind"] == kind:
            assert one["spec"]["selector"].get("matchLabels", one["spec"]["selector"]) in labels


def test_bridges_are_scaled_by_a_metric_that_there_is():
    registry = CollectorRegistry()
    Metrics(registry)
    (scaler,) = [one for one in MANIFESTS if one["kind"] == "HorizontalPodAutoscaler"]
    (metric,) = scaler["spec"]["metrics"]
    assert registry.get_sample_value(metric["pods"]["metric"]["name"]) == 0


def test_a_bridge_gets_as_long_as_its_calls_may_last():
    (bridge,) = [one for one in DEPLOYMENTS if one["metadata"]["name"] == "talkspurt"]
    pod = bridge["spec"]["template"]["spec"]
    settings = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] >= 3_600 > int(settings["MAX_CALL_S"])


def test_its_end_waits_for_the_last_call(unused_tcp_port, tmp_path):
    """What `preStop` runs, beside a server that has a call at first."""
    (bridge,) = [one for one in DEPLOYMENTS if one["metadata"]["name"] == "talkspurt"]
    (container,) = bridge["spec"]["template"]["spec"]["containers"]
    _, flag, code = container["lifecycle"]["preStop"]["exec"]["command"]
    server = (
        "import http.server, itertools\n"
        "calls = itertools.chain([1], itertools.repeat(0))\n"
        "class Health(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "        self.wfile.write(b'{\"calls\": %d}' % next(calls))\n"
        f"server = http.server.HTTPServer(('127.0.0.1', {unused_tcp_port}), Health)\n"
        "print('ready', flush=True); server.handle_request(); server.handle_request()\n"
    )
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        near = code.replace("8000", str(unused_tcp_port)).replace("time.sleep(2)", "time.sleep(0.01)")
        subprocess.run([sys.executable, flag, near], check=True)
        assert process.wait(30) == 0, "it was asked twice"


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=named)
def test_what_a_container_runs_is_a_command(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    program, *args = container["args"]
    assert program == "talkspurt"
    with pytest.raises(SystemExit) as ended:
        main([*args, "--help"])
    assert ended.value.code == 0
