"""Every attack by its name."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.attacks import (
    audiosocket_floods,
    bad_services,
    bad_speakers,
    bad_tool_servers,
    bodies,
    headers,
    idle_connections,
    killer_words,
    many_floods,
    media_floods,
    registrations,
    transcripts,
    uploads,
    websocket_floods,
)
from benchmarks.attacks.target import Answers, Attack, Target


async def _nothing(target: Target, answers: Answers) -> None:
    await asyncio.Event().wait()


_BAD_SERVICES: Final = {
    "recogniser-partials": bad_services.BadRecogniser(bad_services.partials),
    "recogniser-transcripts": bad_services.BadRecogniser(bad_services.transcripts),
    "recogniser-10-MB": bad_services.BadRecogniser(bad_services.long_messages),
    "recogniser-half-frames": bad_services.BadRecogniser(bad_services.half_frames),
    "recogniser-pings": bad_services.BadRecogniser(bad_services.pings),
    "model-comments": bad_services.BadModel(bad_services.comments),
    "model-empty-deltas": bad_services.BadModel(bad_services.empty_deltas),
    "model-deltas": bad_services.BadModel(bad_services.deltas),
    "model-arguments": bad_services.BadModel(bad_services.arguments),
    "tool-1-GB": bad_services.BadTool(bad_services.letters),
    "tool-dribble": bad_services.BadTool(bad_services.a_letter_at_a_time, bad_services.DRIBBLE_S),
}
_BAD_SPEAKERS: Final = {
    "speaker-messages": bad_speakers.BadSpeaker(bad_speakers.messages),
    "speaker-no-JSON": bad_speakers.BadSpeaker(bad_speakers.no_json),
    "speaker-deep-JSON": bad_speakers.BadSpeaker(bad_speakers.deep_json),
    "speaker-endless-message": bad_speakers.BadSpeaker(bad_speakers.endless_message),
    "speaker-pings": bad_speakers.BadSpeaker(bad_speakers.pings),
    "speaker-sound": bad_speakers.BadSpeaker(bad_speakers.sound),
    "speaker-long-sound": bad_speakers.BadSpeaker(bad_speakers.long_sound),
    "speaker-items": bad_speakers.BadSpeaker(bad_speakers.items),
    "speaker-long-items": bad_speakers.BadSpeaker(bad_speakers.long_items),
    "speaker-words": bad_speakers.BadSpeaker(bad_speakers.words),
    "speaker-speech": bad_speakers.BadSpeaker(bad_speakers.speech),
    "speaker-failures": bad_speakers.BadSpeaker(bad_speakers.failures),
    "speaker-tools": bad_speakers.BadSpeaker(bad_speakers.tools),
    "speaker-silence": bad_speakers.BadSpeaker(bad_speakers.silence, confirms=False),
}
_BAD_TOOL_SERVERS: Final = {
    "MCP-silence": bad_tool_servers.BadToolServer(bad_tool_servers.nothing),
    "MCP-1-GB": bad_tool_servers.BadToolServer(bad_tool_servers.no_end, bad_tool_servers.WHOLE),
    "MCP-endless-event": bad_tool_servers.BadToolServer(bad_tool_servers.no_end),
    "MCP-comments": bad_tool_servers.BadToolServer(bad_tool_servers.comments),
    "MCP-notifications": bad_tool_servers.BadToolServer(bad_tool_servers.notifications),
    "MCP-questions": bad_tool_servers.BadToolServer(bad_tool_servers.questions),
    "MCP-foreign-answers": bad_tool_servers.BadToolServer(bad_tool_servers.foreign_answers),
    "MCP-long-result": bad_tool_servers.BadToolServer(bad_tool_servers.long_result),
    "MCP-deep-result": bad_tool_servers.BadToolServer(bad_tool_servers.deep_result),
    "MCP-redirect": bad_tool_servers.BadToolServer(bad_tool_servers.nothing, "", "307 Temporary Redirect"),
    "MCP-many-tools": bad_tool_servers.LongList(),
}
_BAD: Final = _BAD_SERVICES | _BAD_SPEAKERS | _BAD_TOOL_SERVERS
CLONING: Final = "benchmarks.attacks.cloning_server"
NO_ATTACK: Final = Attack("no attack", _nothing)

_ATTACKS: Final = (
    Attack("back-channels", transcripts.back_channels),
    Attack("long-transcripts", transcripts.long_transcripts),
    Attack("format-as-name", registrations.format_name),
    Attack("bad-registration", registrations.bad_registration),
    Attack("registration-flood", registrations.registration_flood, least_s=30.0),
    Attack("gzip-bombs", bodies.gzip_bombs),
    Attack("large-JSON", bodies.large_json),
    Attack("corrupt-deflate", bodies.corrupt_deflate),
    Attack("multipart-preamble", bodies.multipart_preamble),
    Attack("compressed-upload", bodies.compressed_upload),
    Attack("foreign-host", headers.foreign_host),
    Attack("broken-origin", headers.broken_origin),
    Attack("killer-words", killer_words.killer_words),
    Attack("slow-speech", killer_words.slow_speech, least_s=8.0),
    Attack("digits", audiosocket_floods.digits),
    Attack("empty-frames", audiosocket_floods.empty_frames),
    Attack("fast-audio", audiosocket_floods.fast_audio),
    Attack("used-UUID", audiosocket_floods.used_uuid),
    Attack("WebSocket-keys", media_floods.keys),
    Attack("WebSocket-frames", media_floods.frames),
    Attack("cancels", websocket_floods.cancels),
    Attack("empty-deltas", websocket_floods.empty_deltas),
    Attack("dropped-deltas", websocket_floods.dropped_deltas),
    Attack("pings", websocket_floods.pings),
    Attack("many-floods", many_floods.many_floods),
    Attack("short-requests", many_floods.short_requests),
    Attack("unread-speech", idle_connections.unread),
    Attack("unread-by-one-of-us", idle_connections.unread_by_one_of_us, least_s=idle_connections.UNREAD_S + 30.0),
    Attack("silent-connections", idle_connections.silent, least_s=idle_connections.HOLD_S + 3.0),
    Attack("hostile-recordings", uploads.hostile_recordings, least_s=15.0, server=CLONING),
    Attack("large-recordings", uploads.large_recordings, server=CLONING),
    *(Attack(name, bad.run, service=bad.serve) for name, bad in _BAD.items()),
)
ATTACKS: Final = {attack.name: attack for attack in _ATTACKS}
