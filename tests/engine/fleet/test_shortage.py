"""What is said of replicas for which a cluster has no place."""

from __future__ import annotations

import pytest

from engine.fleet.shortage import fitting, shortage

NEEDS = {"CPU": 1.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("there", "fit", "takes"),
    [
        ({"CPU": 4.0, "GPU": 2.0}, 2, "1 GPU (the cluster has 2)"),
        ({"CPU": 4.0}, 0, "1 GPU (the cluster has 0)"),
        ({"GPU": 4.0, "CPU": 2.0}, 2, "1 core (the cluster has 2)"),
        ({}, 0, "1 core (the cluster has 0) and 1 GPU (the cluster has 0)"),
    ],
)
def test_it_names_what_is_missing_and_how_many_have_a_place(there, fit, takes):
    assert fitting(NEEDS, there) == fit
    assert shortage(3, NEEDS, there).startswith(f"{fit} of 3 replicas have a place. Each takes {takes}, so others wait")


def test_replicas_without_gpus_do_not_wait_for_one():
    assert shortage(3, {"CPU": 1.0, "GPU": 0.0}, {"CPU": 3.0}) == ""


def test_nothing_is_said_where_all_have_a_place():
    assert shortage(3, NEEDS, {"CPU": 4.0, "GPU": 3.0}) == ""
