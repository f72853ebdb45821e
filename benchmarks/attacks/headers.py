"""Requests whose heads are not what a client of ours would send."""

from __future__ import annotations

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import ask, head


async def foreign_host(target: Target, answers: Answers) -> None:
    """A name that is not ours and leads here: what a page has whose DNS was changed under it."""
    for _ in range(20):
        for name in ("evil.example", f"evil.example:{target.http_port}"):
            await ask(target, answers, head(target, "GET", "/v1/calls", headers={"Host": name}))


async def broken_origin(target: Target, answers: Answers) -> None:
    """An origin that is no address."""
    for _ in range(20):
        await ask(target, answers, head(target, "POST", "/v1/audio/speech", headers={"Origin": "http://["}))
