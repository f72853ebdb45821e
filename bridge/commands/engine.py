"""`talkspurt engine`: a replica, an engine that speaks for the bridges of this machine and others."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from functools import partial
from typing import Final

import structlog

from bridge.config import Settings, WrongSetting, load_settings, misspelt_settings
from bridge.line.clock import Tick
from bridge.logs import set_up_logs
from bridge.masking import Masker, secrets_of
from bridge.service_manager import notifier, watchdog
from engine.extras import install
from engine.fleet.station import Station
from engine.registry import create_lone_engine
from engine.speech import Engine, SpeechError

log = structlog.get_logger(__name__)

CLOSE_S: Final = 5.0
"""How long closing may take after DRAIN_TIMEOUT, until systemd ends the process."""
ALIVE_EVERY_S: Final = 0.5
"""How often systemd may be told that the replica does not hang."""


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt engine`."""
    parser = sub.add_parser("engine", help="speak for bridges that have ENGINE=remote and ENGINE_URLS, until SIGTERM")
    parser.add_argument(
        "--ray", action="store_true", help="have the Ray cluster of this machine start replicas, or replace its own"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Checks the settings, then speaks. Returns 2 where a setting is wrong, 1 where it cannot start."""
    misspelt = misspelt_settings()
    try:
        settings = load_settings()
        _check(settings, by_ray=args.ray)
    except WrongSetting as error:
        print(error, *misspelt, sep="\n", file=sys.stderr)
        return 2
    masker = _log(settings)
    for line in misspelt:
        log.warning(line)
    try:
        if args.ray:
            deploy(settings)
        else:
            asyncio.run(serve(settings))
    except (SpeechError, OSError) as error:
        print(masker(f"cannot start: {error}"), file=sys.stderr)
        return 1
    return 0


def _check(settings: Settings, *, by_ray: bool) -> None:
    """Raises WrongSetting for what is wrong only with a replica."""
    if by_ray and settings.qwen.device not in ("cpu", "cuda"):
        raise WrongSetting(
            f"DEVICE={settings.qwen.device!r}: must be cuda or cpu with --ray, by which each replica has its own GPU"
        )
    if settings.engine.engine == "remote":
        raise WrongSetting("ENGINE='remote': must be auto, hibari or qwen3 for a replica, which speaks itself")
    if wrong := settings.replica.missing(settings.engine.engine_token.get_secret_value()):
        raise WrongSetting(wrong)


async def serve(settings: Settings) -> None:
    """Speaks until SIGTERM or SIGINT. Raises SpeechError or OSError if it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, log.warning, "SIGHUP reads AGENTS anew, and a replica has none")
    loop.add_signal_handler(signal.SIGUSR2, log.warning, "SIGUSR2 replaces workers, and a replica has none")
    replica, drain_s, notify = settings.replica, settings.server.drain_timeout, notifier()
    station = Station(_engine(settings), replica, settings.engine.engine_token.get_secret_value())
    alive = watchdog(notify) if notify is not None else None
    telling = loop.create_task(_tell(alive)) if alive is not None else None
    try:
        port = await station.start()
        link, tls = f"{replica.engine_host}:{port}", station.tls is not None
        log.info("ready", link=link, engine=station.engine.name, tls=tls)
        if notify is not None:
            notify("READY=1")
        await stop.wait()
        log.info("draining", bridges=len(station.server), timeout_s=drain_s)
        if notify is not None:
            notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={(drain_s + CLOSE_S) * 1e6:.0f}")
        await station.server.drain(drain_s)
    finally:
        await station.close()
        if telling is not None:
            telling.cancel()
        log.info("stopped")


async def _tell(alive: Tick) -> None:
    """Tells systemd again and again that this loop runs: one that hangs is ended, and started anew."""
    while True:
        alive(asyncio.get_running_loop().time())
        await asyncio.sleep(ALIVE_EVERY_S)


def deploy(settings: Settings) -> None:
    """Has Ray start replicas, or replace those that run. Raises SpeechError if it cannot."""
    try:
        import ray

        from engine.fleet.deployment import Plan, deploy_replicas, gpus_of
    except ImportError:
        raise SpeechError(f"--ray needs its package: {install('ray')}") from None
    try:
        ray.init(address="auto", logging_level=logging.WARNING)
    except ConnectionError:
        raise SpeechError(
            "no Ray runs on this machine; `ray start --head` starts it, or RAY_ADDRESS names it"
        ) from None
    server, token = settings.server, settings.engine.engine_token.get_secret_value()
    gpus = gpus_of(settings.engine.engine, settings.qwen.device)
    plan = Plan(
        partial(_engine, settings), settings.replica, token, server.drain_timeout, gpus, partial(_log, settings)
    )
    deploy_replicas(plan, server.http_host, server.http_port)
    print(
        f"replicas speak; bridges: ENGINE=remote ENGINE_URLS_FROM=http://{server.http_host}:{server.http_port}/replicas"
    )


def _engine(settings: Settings) -> Engine:
    return create_lone_engine(settings.engine, settings.qwen, settings.voices, settings.speech.request_timeout)


def _log(settings: Settings) -> Masker:
    masker = Masker(secrets_of(settings.values()))
    set_up_logs(settings.server.log_format, settings.server.log_level, masker)
    return masker
