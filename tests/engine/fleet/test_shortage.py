"""What is said of replicas for which a cluster has no place."""

from __future__ import annotations

import pytest

from engine.fleet.shortage import shortage

NEEDS = {"CPU": 1.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("speaking", "free", "waits_for"),
    [
        (2, {"CPU": 4.0}, "1 GPU, and the cluster has 0 GPUs free"),
        (2, {"CPU": 4.0, "GPU": 0.5}, "1 GPU, and the cluster has 0.5 GPUs free"),
        (2, {"GPU": 1.0, "CPU": 0.0}, "1 core, and the cluster has 0 cores free"),
        (0, {}, "1 core and 1 GPU, and the cluster has 0 cores and 0 GPUs free"),
    ],
)
def test_it_names_what_is_missing(speaking, free, waits_for):
    line = shortage(speaking, 3, NEEDS, free)
    assert line.startswith(f"{speaking} of 3 replicas speak; each of the others waits for {waits_for}. ")


def test_replicas_without_gpus_do_not_wait_for_one():
    assert shortage(2, 3, {"CPU": 1.0, "GPU": 0.0}, {"CPU": 1.0}) == ""


def test_nothing_is_said_while_replicas_start_that_have_a_place():
    assert shortage(2, 3, NEEDS, {"CPU": 1.0, "GPU": 1.0}) == ""
    assert shortage(3, 3, NEEDS, {}) == ""
