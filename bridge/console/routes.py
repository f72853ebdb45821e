"""The console's routes: its page, its login, and the recorded calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel

from bridge.calls_api.lookup import read_body
from bridge.console.call_sound import CallSound, NoSound
from bridge.console.page import HEADERS, get_file, get_page
from bridge.console.recorded_calls import RecordedCalls, summarise
from bridge.console.rights import Rights
from bridge.console.session import COOKIE, LIFE_S, Sessions, take_console_cookies
from bridge.console.sound_answer import send_sound
from engine.thread_priority import lower_priority
from engine.web.errors import ApiError, forbidden

log = structlog.get_logger(__name__)

JOURNAL_BYTES: Final = 262_144
"""How much of a journal one answer holds: some ten minutes of talk."""
NEXT: Final = "X-Next-Offset"
"""The header that tells where the journal goes on after an answer."""
MAX_LISTED: Final = 500
NICENESS: Final = 15
"""Of the thread that reads recordings: the loudness of an hour takes it 0.2 s, and calls must not wait for that."""
NOT_KEPT: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""What callers said stays in no browser's cache."""

Result = TypeVar("Result")


class Login(BaseModel):
    """What the login sends."""

    key: str


class Console:
    """What answers the console's page."""

    def __init__(self, api_key: str, rights: Rights, folders: Callable[[], Iterable[Path]]) -> None:
        self._rights = rights
        self._sessions = Sessions(api_key)
        self._calls = RecordedCalls(folders)
        self._thread = ThreadPoolExecutor(1, "console", lower_priority, (NICENESS,))

    async def login(self, request: web.Request) -> web.Response:
        """Exchanges the API key for a cookie that no script of the page can read."""
        body = await read_body(request, Login)
        if not self._sessions.is_key(body.key):
            log.warning("console: wrong key", by=request.remote)
            raise ApiError(401, "UNAUTHORIZED", "this is not the API key of this server")
        log.info("console: logged in", by=request.remote)
        answer = web.Response(status=204, headers=HEADERS)
        encrypted = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        answer.set_cookie(
            COOKIE,
            self._sessions.create(),
            max_age=LIFE_S,
            httponly=True,
            samesite="Strict",
            secure=encrypted or None,
        )
        return answer

    async def logout(self, request: web.Request) -> web.Response:
        answer = web.Response(status=204, headers=HEADERS)
        answer.del_cookie(COOKIE)
        return answer

    async def get_rights(self, request: web.Request) -> web.Response:
        """Tells the page what it is to offer."""
        return _json(asdict(self._rights))

    async def search(self, request: web.Request) -> web.Response:
        """Lists the recorded calls that match the words of `search`, the latest first."""
        limit = min(_whole(request, "limit", 100), MAX_LISTED)
        found = await self._in_thread(self._calls.search, request.query.get("search", "").split(), limit)
        return _json({"data": [call.described() for call in found]})

    async def get_call(self, request: web.Request) -> web.Response:
        """Tells of one recorded call, and of its sound, if there is any."""
        path = await self._journal(request)
        summary = await self._in_thread(summarise, path)
        if summary is None:
            raise _unknown(request)
        try:
            sound = await self._in_thread(CallSound.of, path.with_suffix(".wav"))
        except (NoSound, OSError):
            return _json({**summary.described(), "sound_ms": None})
        return _json({**summary.described(), "sound_ms": sound.duration_ms})

    async def get_journal(self, request: web.Request) -> web.Response:
        """Answers with whole lines of the journal from `offset` on, and where it goes on after them."""
        offset = _whole(request, "offset", 0)
        path = await self._journal(request)
        try:
            lines = await self._in_thread(_lines, path, offset)
        except OSError:  # it has been removed meanwhile
            raise _unknown(request) from None
        headers = {**NOT_KEPT, NEXT: str(offset + len(lines))}
        return web.Response(body=lines, content_type="application/x-ndjson", charset="utf-8", headers=headers)

    async def get_peaks(self, request: web.Request) -> web.Response:
        """Answers with two bytes for each of `columns` stretches: the caller's peak and the agent's."""
        sound = await self._sound(request)
        wanted = (_whole(request, "from_ms", 0), _whole(request, "to_ms", sound.duration_ms))
        columns = _whole(request, "columns", 1_000)
        try:
            peaks = await self._in_thread(sound.peaks, *wanted, columns)
        except OSError:
            raise _unknown(request) from None
        return web.Response(body=peaks, content_type="application/octet-stream", headers=NOT_KEPT)

    async def get_sound(self, request: web.Request) -> web.StreamResponse:
        """Plays a call, which is logged each time."""
        if not self._rights.listen:
            raise forbidden("CONSOLE_LISTEN=false: the console plays the sound of no call")
        sound = await self._sound(request)
        name, asked = request.match_info["name"], request.headers.get("Range", "all")
        log.info("console: a call is listened to", call=name, by=request.remote, range=asked)
        return await send_sound(request, sound, NOT_KEPT)

    async def close(self, app: web.Application) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _journal(self, request: web.Request) -> Path:
        path = await self._in_thread(self._calls.find, request.match_info["name"])
        if path is None:
            raise _unknown(request)
        return path

    async def _sound(self, request: web.Request) -> CallSound:
        path = await self._journal(request)
        try:
            return await self._in_thread(CallSound.of, path.with_suffix(".wav"))
        except (NoSound, OSError):
            raise ApiError(404, "NOT_FOUND", "there is no sound of this call", param="name") from None

    async def _in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def add_console(app: web.Application, api_key: str, rights: Rights, folders: Callable[[], Iterable[Path]]) -> None:
    """Serves the console. `folders` returns where recordings lie now."""
    console = Console(api_key, rights, folders)
    take_console_cookies(app, api_key, rights)
    app.router.add_get("/console", get_page)
    app.router.add_get("/console/static/{name}", get_file)
    app.router.add_post("/console/login", console.login)
    app.router.add_post("/console/logout", console.logout)
    app.router.add_get("/console/rights", console.get_rights)
    app.router.add_get("/console/recorded", console.search)
    app.router.add_get("/console/recorded/{name}", console.get_call)
    app.router.add_get("/console/recorded/{name}/journal", console.get_journal)
    app.router.add_get("/console/recorded/{name}/peaks", console.get_peaks)
    app.router.add_get("/console/recorded/{name}/sound", console.get_sound)
    app.on_cleanup.append(console.close)


def _lines(path: Path, offset: int) -> bytes:
    """Returns whole lines from an offset on; none where the next one is not whole yet. Raises OSError."""
    with open(path, "rb") as file:
        file.seek(offset)
        read = file.read(JOURNAL_BYTES)
        if b"\n" not in read and len(read) == JOURNAL_BYTES:
            read += file.readline()  # one line that is longer than that
    return read[: read.rfind(b"\n") + 1]


def _whole(request: web.Request, name: str, default: int) -> int:
    given = request.query.get(name, "")
    if not given:
        return default
    if not (given.isdecimal() and given.isascii() and len(given) <= 12):
        raise ApiError(400, "INVALID_REQUEST", f"{name}: {given[:80]!r} is no whole number", param=name)
    return int(given)


def _unknown(request: web.Request) -> ApiError:
    return ApiError(404, "NOT_FOUND", f"no recorded call {request.match_info['name'][:80]!r}", param="name")


def _json(content: dict[str, Any]) -> web.Response:
    return web.json_response(content, headers=NOT_KEPT)
