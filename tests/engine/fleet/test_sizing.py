"""How many replicas there should be for what is spoken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.fleet.sizing import CallsSpeaking, at_first, wanted


@pytest.mark.parametrize(
    ("sentences", "places", "per_replica", "replicas"),
    [(0, 10, 0, 0), (1, 10, 0, 1), (7, 10, 0, 1), (7.1, 10, 0, 2), (700, 1000, 0, 1), (8, 10, 4, 2), (8, 0, 0, None)],
)
def test_a_replica_is_to_have_seventy_percent_of_its_places_taken_or_what_was_set(
    sentences, places, per_replica, replicas
):
    assert wanted(sentences, places, per_replica) == replicas


def context(running="ab", target=3, **told):
    return SimpleNamespace(aggregated_metrics=told, target_num_replicas=target, running_replicas=list(running))


def policy(per_replica=0, least=1, fits=9):
    """One whose replicas have replaced all of before."""
    policy = CallsSpeaking(per_replica, least, fits)
    policy(context("", target=1))
    return policy


def test_the_sentences_of_all_replicas_count():
    told = context(sentences={"a": 10.0, "b": 30.0}, places={"a": 10.0, "b": 10.0})
    assert policy()(told) == (6, {})
    assert policy(20)(told) == (2, {})


def test_the_number_stays_while_nothing_is_known():
    assert policy()(context()) == (3, {})
    assert policy()(context(sentences={"a": 10.0}, places={"a": 0.0})) == (3, {})


def test_no_more_are_wanted_than_have_a_place_until_all_old_ones_are_replaced():
    much = {"sentences": {"a": 50.0}, "places": {"a": 10.0}}
    policy = CallsSpeaking(least=3, fits=2)
    assert policy(context("ab", **much)) == (2, {}), "two that are to be replaced"
    assert policy(context("b", **much)) == (2, {}), "one is ending"
    assert policy(context("bc", **much)) == (2, {})
    assert policy(context("c", **much)) == (2, {}), "the last old one is ending"
    assert policy(context("cd", **much)) == (8, {}), "all speak; others wait for a place"
    assert policy(context("c", **much)) == (8, {}), "one that is lost later is no update"


def test_those_that_are_wanted_at_least_wait_for_a_place_once_the_others_speak():
    policy = CallsSpeaking(least=3, fits=2)
    assert policy(context("", target=2)) == (2, {})
    assert policy(context("a", target=2)) == (2, {})
    assert policy(context("ab", target=2)) == (3, {})


@pytest.mark.parametrize(
    ("now", "least", "most", "fits", "first"),
    [(0, 2, 8, 9, 2), (5, 2, 8, 9, 5), (9, 2, 8, 9, 8), (3, 2, 8, 2, 2), (0, 3, 8, 2, 2), (0, 2, 8, 0, 1)],
)
def test_a_new_version_begins_with_as_many_as_there_are_and_have_a_place(now, least, most, fits, first):
    assert at_first(now, least, most, fits) == first
