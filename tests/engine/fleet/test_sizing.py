"""How many replicas there should be for what is spoken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.fleet.sizing import CallsSpeaking, wanted


@pytest.mark.parametrize(
    ("sentences", "places", "per_replica", "replicas"),
    [(0, 10, 0, 0), (1, 10, 0, 1), (7, 10, 0, 1), (7.1, 10, 0, 2), (700, 1000, 0, 1), (8, 10, 4, 2), (8, 0, 0, None)],
)
def test_a_replica_is_to_have_seventy_percent_of_its_places_taken_or_what_was_set(
    sentences, places, per_replica, replicas
):
    assert wanted(sentences, places, per_replica) == replicas


def context(**told):
    return SimpleNamespace(aggregated_metrics=told, target_num_replicas=3)


def test_the_sentences_of_all_replicas_count():
    told = context(sentences={"a": 10.0, "b": 30.0}, places={"a": 10.0, "b": 10.0})
    assert CallsSpeaking()(told) == (6, {})
    assert CallsSpeaking(20)(told) == (2, {})


def test_the_number_stays_while_nothing_is_known():
    assert CallsSpeaking()(context()) == (3, {})
    assert CallsSpeaking()(context(sentences={"a": 10.0}, places={"a": 0.0})) == (3, {})
