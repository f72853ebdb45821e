"""A supervisor in this process, without worker processes: what becomes of the old server where it fails."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest

from bridge.config import Settings
from bridge.workers import supervisor as supervisor_module
from bridge.workers.old_server import OldServer
from bridge.workers.supervisor import Supervisor
from bridge.workers.team import Team
from tests.bridge.workers.test_succession import old_server_in
from tests.support.fakes import FakeEngine
from tests.support.whole_app import QUICK
from tests.support.worker_team import FakeStarts

PATIENCE_S = 30


async def test_a_new_server_that_fails_after_it_took_over_lets_the_old_one_go_on(tmp_path, monkeypatch):
    async def fail(app):
        raise OSError("no more room")

    killed = []
    monkeypatch.setattr(OldServer, "kill", killed.append)  # it is this process
    starts = FakeStarts()
    monkeypatch.setattr(supervisor_module, "Team", partial(Team, start=starts))
    async with old_server_in(tmp_path) as old:
        new = Supervisor(Settings.of(**QUICK, run_dir=tmp_path), FakeEngine())
        monkeypatch.setattr(new.ports, "answer", fail)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(OSError, match="no more room"):
                await new.start()
        assert old.left_to, "it had taken over"
        assert killed == []
        assert not old.ended.is_set()
    starts.close()


async def test_of_two_quick_reloads_the_later_reading_of_the_lexicon_counts(tmp_path, monkeypatch):
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text("en:\n  SQL: sequel\n")
    readings: list[asyncio.Future[SimpleNamespace]] = []

    async def read(*_told, **_more):
        readings.append(asyncio.get_running_loop().create_future())
        return await readings[-1]

    async def as_far_as_it_goes():
        for _ in range(20):
            await asyncio.sleep(0)

    monkeypatch.setattr(asyncio, "to_thread", read)
    supervisor = Supervisor(Settings.of(**QUICK, lexicon=lexicon), FakeEngine())
    supervisor.reload()
    supervisor.reload()
    await as_far_as_it_goes()
    assert len(readings) == 1, "the file is read once at a time"
    readings[0].set_result(SimpleNamespace(lexicon="before the change", record_folders=()))
    await as_far_as_it_goes()
    readings[1].set_result(SimpleNamespace(lexicon="after it", record_folders=()))
    await as_far_as_it_goes()
    assert supervisor._lexicon == "after it"
