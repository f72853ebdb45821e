"""The dashboard and the alert rules name metrics that there are; promtool reads the rules and makes each alert fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from bridge.cluster.redis_watch import REDIS_UP
from bridge.conversation.metrics import ConversationMetrics
from bridge.metrics import Metrics
from engine.api.engine_metrics import COUNTERS, GAUGES, REPLICAS
from engine.api.metrics import SpeechMetrics
from tests.support.debian_package import unpacked

GRAFANA = Path(__file__).parents[1] / "docs" / "grafana"
RULES, DASHBOARD = GRAFANA / "alerts.yaml", GRAFANA / "dashboard.json"
SUFFIXES = ("_total", "_bucket", "_sum", "_count", "")

ONE, ANSWERS = 'instance="a",job="talkspurt"', 'instance="a",job="talkspurt",agent="shop"'
FAULTS: dict[str, dict[str, str]] = {
    "TalkspurtDown": {f"up{{{ONE}}}": "1x20 0x40"},
    "TalkspurtClockLate": {
        f'talkspurt_clock_lateness_seconds_bucket{{{ONE},le="0.01"}}': "0+1000x20 20990+990x40",
        f'talkspurt_clock_lateness_seconds_bucket{{{ONE},le="0.02"}}': "0+1000x60",
        f'talkspurt_clock_lateness_seconds_bucket{{{ONE},le="+Inf"}}': "0+1000x60",
    },
    "TalkspurtFramesMissed": {f"talkspurt_clock_missed_frames{{{ONE}}}": "3x50 8x10"},
    "TalkspurtUnderruns": {f"talkspurt_underrun_frames_total{{{ONE}}}": "0+10x20 260+60x40"},
    "TalkspurtCallsRefused": {f'talkspurt_calls_refused_total{{{ONE},reason="full"}}': "0x50 1x10"},
    "TalkspurtSlowAnswers": {
        f'talkspurt_voice_to_voice_seconds_bucket{{{ANSWERS},le="2.0"}}': "0+10x20 209+9x40",
        f'talkspurt_voice_to_voice_seconds_bucket{{{ANSWERS},le="3.0"}}': "0+10x60",
        f'talkspurt_voice_to_voice_seconds_bucket{{{ANSWERS},le="+Inf"}}': "0+10x60",
    },
    "TalkspurtSlowToFallSilent": {
        f'talkspurt_interrupt_to_silence_seconds_bucket{{{ONE},le="0.05"}}': "0+10x20 209+9x40",
        f'talkspurt_interrupt_to_silence_seconds_bucket{{{ONE},le="0.1"}}': "0+10x60",
        f'talkspurt_interrupt_to_silence_seconds_bucket{{{ONE},le="+Inf"}}': "0+10x60",
    },
    "TalkspurtServiceFailed": {f'talkspurt_service_failures_total{{{ONE},service="engine"}}': "0x50 1x10"},
    "TalkspurtSpareVoice": {f"talkspurt_sentences_by_spare_total{{{ONE}}}": "4x20 5+1x40"},
    "TalkspurtReplicaDown": {f'talkspurt_replica_up{{{ONE},replica="b:7070"}}': "1x30 0x30"},
    "TalkspurtRedisDown": {f"talkspurt_redis_up{{{ONE}}}": "1x30 0x30"},
}
"""What each alert is for, every 30 s of half an hour: nothing is wrong for 10 minutes, and at the end it is."""


def promtool(*arguments: str | Path) -> None:
    """Prometheus' own tool, which has to find nothing wrong."""
    program = shutil.which("promtool") or unpacked("promtool", ["prometheus"]) / "usr/bin/promtool"
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


EXPRESSIONS = [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


def metrics() -> dict[str, tuple[str, ...]]:
    """The labels of every series that the server may have, by the name of the series."""
    registry = CollectorRegistry()
    Metrics(registry)
    ConversationMetrics(registry)
    SpeechMetrics(registry)
    found: dict[str, tuple[str, ...]] = {}
    for collector in registry._collector_to_names:
        for name in registry._collector_to_names[collector]:
            found[name] = (*collector._labelnames, "le")
    for name, _ in COUNTERS.values():
        found[f"{name}_total"] = ()
    for name, _ in GAUGES.values():
        found[name] = ()
    for name, _ in REPLICAS.values():
        found[name] = ("replica",)
    found[REDIS_UP] = ()
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_series_and_labels_that_there_are(expression: str) -> None:
    known = metrics()
    names = re.findall(r"talkspurt_\w+", expression.replace('job="talkspurt"', ""))
    assert set(names) <= set(known)
    allowed = {"instance", "job", *(label for name in names for label in known[name])}
    asked = set(re.findall(r"(\w+)\s*=~?\"", expression))
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        asked |= set(re.split(r",\s*", grouped))
    assert asked <= allowed
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_how_bad_it_is(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
    labels = re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))
    kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
    assert not kept or set(labels) <= set(re.split(r",\s*", kept[0])), "a label that is summed away is empty"


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_counters_that_alerts_watch_are_there_before_the_first_fault() -> None:
    """Prometheus sees no increase where a series begins at 1."""
    registry = CollectorRegistry()
    Metrics(registry)
    ConversationMetrics(registry)
    assert registry.get_sample_value("talkspurt_calls_refused_total", {"reason": "full"}) == 0
    assert registry.get_sample_value("talkspurt_service_failures_total", {"service": "llm"}) == 0


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_fires_at_its_fault_and_not_before(rule: dict[str, Any], tmp_path: Path) -> None:
    firing = f'count(ALERTS{{alertname="{rule["alert"]}",alertstate="firing"}})'
    told = [{"series": series, "values": values} for series, values in FAULTS[rule["alert"]].items()]
    expected = [
        {"expr": firing, "eval_time": "10m", "exp_samples": []},
        {"expr": firing, "eval_time": "29m", "exp_samples": [{"labels": "{}", "value": 1}]},
    ]
    test = {"interval": "30s", "input_series": told, "promql_expr_test": expected}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "30s", "tests": [test]}))
    promtool("test", "rules", path)


def test_the_faults_are_of_series_that_there_are() -> None:
    assert FAULTS.keys() == {rule["alert"] for rule in rules()}
    known = metrics()
    for series in (series for told in FAULTS.values() for series in told if not series.startswith("up{")):
        name = series.partition("{")[0]
        assert name in known
        assert set(re.findall(r"(\w+)=", series)) <= {"instance", "job", *known[name]}


def test_promtool_reads_the_rules() -> None:
    promtool("check", "rules", RULES)
