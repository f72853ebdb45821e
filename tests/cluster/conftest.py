"""One cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.cluster.rig import Cluster

CHECK_TIMEOUT_S: Final = 5


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # A bridge that answers late on a busy machine is not to be taken for down.
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), check_timeout_s=CHECK_TIMEOUT_S)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
async def cluster(running_cluster: Cluster) -> Cluster:
    """The cluster with every part in its place, whatever a test before has done to it."""
    await running_cluster.mend()
    return running_cluster
