"""One replica and its port."""

from __future__ import annotations

import socket

import pytest

from engine.fleet.health import ask
from engine.fleet.station import Station
from engine.replicas.settings import ReplicaSettings
from engine.speech import SpeechError
from tests.support.certificate import make_certificate
from tests.support.counting_engine import CountingEngine

TOKEN = "a token of some length"


async def test_several_on_one_machine_take_a_port_each(unused_tcp_port):
    settings = ReplicaSettings(engine_port=unused_tcp_port)
    stations = [Station(CountingEngine(), settings, "") for _ in range(2)]
    try:
        ports = [await station.start(any_port=True) for station in stations]
        assert ports[0] >= unused_tcp_port
        assert ports[0] < ports[1] < unused_tcp_port + 64
    finally:
        for station in stations:
            await station.close()


async def test_without_others_it_takes_the_port_that_was_named(unused_tcp_port):
    station = Station(CountingEngine(), ReplicaSettings(engine_port=unused_tcp_port), "")
    with socket.create_server(("127.0.0.1", unused_tcp_port)), pytest.raises(OSError, match="ENGINE_PORT="):
        await station.start()
    await station.close()


async def test_it_is_asked_at_its_own_port_over_tls_and_with_the_token(tmp_path):
    cert, key = make_certificate(tmp_path)
    engine = CountingEngine()
    settings = ReplicaSettings(engine_port=0, engine_tls_cert=cert, engine_tls_key=key)
    station = Station(engine, settings, TOKEN)
    port = await station.start()
    try:
        assert await ask("127.0.0.1", port, TOKEN, tls=True)
        engine.ready = False
        assert not await ask("127.0.0.1", port, TOKEN, tls=True)
        with pytest.raises(SpeechError):
            await ask("127.0.0.1", port, "a token of another", tls=True)
    finally:
        await station.close()
    with pytest.raises(OSError, match="Connect"):
        await ask("127.0.0.1", port, TOKEN, tls=True)
