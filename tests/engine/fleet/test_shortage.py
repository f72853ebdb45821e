"""What is said of replicas for which a cluster has no place."""

from __future__ import annotations

import pytest

from engine.fleet.shortage import shortage

NEEDS = {"CPU": 1.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("there", "takes"),
    [
        ({"CPU": 4.0, "GPU": 2.0}, "1 GPU (the cluster has 2)"),
        ({"CPU": 4.0}, "1 GPU (the cluster has 0)"),
        ({"GPU": 4.0, "CPU": 2.0}, "1 core (the cluster has 2)"),
        ({}, "1 core (the cluster has 0) and 1 GPU (the cluster has 0)"),
    ],
)
def test_it_names_what_is_missing(there, takes):
    assert shortage(2, 3, NEEDS, there).startswith(f"2 of 3 replicas speak. Each takes {takes}, so others wait")


def test_replicas_without_gpus_do_not_wait_for_one():
    assert shortage(2, 3, {"CPU": 1.0, "GPU": 0.0}, {"CPU": 3.0}) == ""


def test_nothing_is_said_while_replicas_start_that_have_a_place():
    assert shortage(0, 3, NEEDS, {"CPU": 4.0, "GPU": 3.0}) == ""
    assert shortage(3, 3, NEEDS, {}) == ""
