"""Request bodies: what is refused before it is read, and how much of one is looked at."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib

import pytest
from pydantic import BaseModel

from engine.web.bodies import MAX_JSON_BYTES, MAX_MEMBERS, parse_json
from engine.web.errors import MAX_FAULTS, ApiError
from tests.support.processor_time import least_s
from tests.support.speech_server import SpeechServer, speech_server

JSON_PATHS = ("/v1/audio/speech", "/v1/audio/speech/stream", "/v1/audio/speech/stream/pcm")


async def answer_to_head(server: SpeechServer, path: str, *headers: str, length: int = 10_000_000) -> bytes:
    """Announces a body, sends none of it, and returns all that the server sends until it closes the connection."""
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "x-gzip, gzip"])
@pytest.mark.parametrize("path", ["/health", "/v1/audio/speech", "/v1/audio/voices/anna", "/nothing"])
async def test_a_compressed_body_is_refused_unread_and_the_connection_closed(server, path, encoding):
    answer = await answer_to_head(server, path, f"Content-Encoding: {encoding}", "Content-Type: application/json")
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_a_compressed_body_is_not_inflated(server):
    """One megabyte that would be a gigabyte: to inflate it takes a second and more."""
    body = gzip.compress(bytes(2**20), 9)
    bomb = body * 1000
    started_s = time.thread_time()
    answer = await server.request("POST", "/health", data=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert time.thread_time() - started_s < 0.5


async def test_corrupt_deflate_is_the_clients_fault(server):
    broken = zlib.compress(b'{"input": "Hello there."}')[:-9] + b"broken"
    for encoding in ("deflate", "gzip"):
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        assert (await server.request("POST", JSON_PATHS[0], data=broken, headers=headers)).status == 415


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/audio/voices/anna", "/nothing"])
async def test_the_key_is_checked_before_the_body_comes(engine, tmp_path, path):
    async with speech_server(engine, tmp_path, api_key="a key") as server:
        answer = await answer_to_head(server, path, "Content-Type: application/json", "Content-Encoding: gzip")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("path", JSON_PATHS)
async def test_json_over_the_limit_is_refused_unread(server, path):
    answer = await answer_to_head(server, path, "Content-Type: application/json", length=MAX_JSON_BYTES + 1)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_json_over_the_limit_is_refused_where_its_length_is_not_told(server, engine):
    async def pieces():
        yield b'{"input": "Hello.", "model": "'
        for _ in range(MAX_JSON_BYTES // 1024):
            yield b"x" * 1024
        yield b'"}'

    answer = await server.request("POST", JSON_PATHS[0], data=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status == 413
    assert answer.headers["Connection"] == "close"
    assert engine.spoken == []


async def test_json_up_to_the_limit_is_read(server):
    frame = json.dumps({"input": "Hello.", "model": ""})
    answer = await server.speech("Hello.", model="x" * (MAX_JSON_BYTES - len(frame)))
    assert answer.status == 200


class Variables(BaseModel):
    variables: dict[str, str]


@pytest.mark.parametrize(("members", "listed"), [(3, 3), (20, 20), (MAX_MEMBERS - 1, 20)])
def test_at_most_twenty_faults_are_listed(members, listed):
    body = json.dumps({"variables": {str(number): number for number in range(members)}})
    with pytest.raises(ApiError) as raised:
        parse_json(body, Variables)
    assert (raised.value.status, MAX_FAULTS) == (400, 20)
    assert len(raised.value.context["faults"]) == listed


@pytest.mark.parametrize("gap", ["", " ", "\n\t"])
def test_the_most_faults_that_a_body_can_hold_take_no_time(gap):
    """20,000 of them held the event loop for 80 ms; the bound is 10."""
    members = ",".join(f'"{number}"{gap}:1' for number in range(20_000))
    body = f'{{"variables": {{{members}}}}}'.encode()[:MAX_JSON_BYTES]

    def refused() -> None:
        with pytest.raises(ApiError) as raised:
            parse_json(body, Variables)
        assert raised.value.status == 400

    assert least_s(refused, enough_s=0.005) < 0.01
