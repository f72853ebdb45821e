"""Looks at a Talkspurt server from here: does it answer over HTTP, does it take a call, does the caller hear it?"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp

from bridge.config import Settings
from bridge.conversation.agents.agents_file import load_agents
from bridge.dial.caller import Caller, CannotCall
from bridge.dial.client import CallsClient, Rejected
from bridge.doctor.finding import Finding, advice, ok, wrong

HEALTH_TIMEOUT_S: Final = 5.0
SOUND_TIMEOUT_S: Final = 10.0
START: Final = "start it: systemctl start talkspurt\nits log: journalctl -u talkspurt -n 50"
WHERE: Final = (
    "are the addresses those of the server (HTTP_HOST, HTTP_PORT, AUDIOSOCKET_PORT)? does a firewall stand between?"
)


async def check_server(settings: Settings) -> list[Finding]:
    """Asks the server of these settings how it does, and places one call at it."""
    server = settings.server
    base_url = f"http://{local_host(server.http_host)}:{server.http_port}"
    try:
        health = await _health(base_url)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return [wrong(f"no server answers at {base_url}: {error or type(error).__name__}", f"{START}\n{WHERE}")]
    findings = [ok(f"the server at {base_url} is up; its engine is {health.get('engine')}")]
    if not health.get("model_loaded", True):
        findings.append(
            advice("the engine's model is not loaded yet", "wait, then look again; its log tells how far it is")
        )
    client = CallsClient(base_url, settings.speech.api_key.get_secret_value())
    async with client:
        findings.append(
            await _test_call(
                client,
                local_host(server.audiosocket_host),
                server.audiosocket_port,
                load_agents(settings.conversation, needs_model=False).default.settings.greeting,
            )
        )
    return findings


async def _health(base_url: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)) as http,
        http.get(f"{base_url}/health", allow_redirects=False) as response,
    ):
        response.raise_for_status()
        answer = await response.json()
    if not isinstance(answer, dict):
        raise ValueError("what answers there is no Talkspurt")
    return answer


async def _test_call(client: CallsClient, host: str, port: int, greeting: str) -> Finding:
    caller = Caller()
    try:
        await client.register(caller.id, **{"from": "doctor", "name": "Doctor"})
        await caller.connect(host, port)
        async with asyncio.timeout(SOUND_TIMEOUT_S):
            heard_s = await caller.voice(caller.dialled_s) if greeting else None
    except Rejected as error:
        return wrong(f"the server does not take a call: {error}", "the message says why; is API_KEY the server's?")
    except CannotCall as error:
        return wrong(f"the server takes no audio: {error}", WHERE)
    except EOFError:
        return wrong("the server ended the test call at once", "its log says why: journalctl -u talkspurt -n 50")
    except TimeoutError:
        return wrong(
            f"the test call heard nothing for {SOUND_TIMEOUT_S:.0f} s",
            "its log says why: journalctl -u talkspurt -n 50",
        )
    finally:
        caller.hang_up()
        if caller.connected:
            await caller.ended.wait()
    if heard_s is None:
        return ok("a test call was taken (no GREETING, so there was nothing to hear)")
    return ok(f"a test call heard the greeting after {(heard_s - caller.dialled_s) * 1000:.0f} ms")


def local_host(host: str) -> str:
    """Returns where a server that listens at `host` is reached from its own machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
