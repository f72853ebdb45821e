"""/v1/models, /v1/info, /health, /metrics, /docs."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

from prometheus_client.parser import text_string_to_metric_families

from engine.api import HEALTH
from engine.encode import FORMATS
from tests.support.tone_engine import ToneEngine

HEALTH_FIELDS = (
    "status model_loaded model_id cuda gpu_name gpu_allocated_mb gpu_reserved_mb queue_depth max_queue_depth voices "
    "audio_cache_size audio_cache_max voice_cache_size voice_cache_max voice_cache_hits"
)


async def test_health_has_every_field_of_the_earlier_server(server):
    health = (await server.get("/health")).json()
    assert set(HEALTH_FIELDS.split()) <= set(health)
    assert (health["status"], health["model_loaded"], health["model_id"]) == ("ok", True, "tone-1")
    assert (health["cuda"], health["gpu_name"], health["gpu_allocated_mb"]) == (False, None, 0)
    assert health["engine_status"] == {
        "engine": "tone",
        "model_id": "tone-1",
        "model_loaded": True,
        "queue_depth": 0,
        "ready": True,
        "warnings": [],
        "voice_cache_size": 0,
    }


async def test_health_passes_on_what_a_gpu_engine_says(server, engine):
    gpu = {"cuda": True, "gpu_name": "H100", "gpu_allocated_mb": 2_048, "gpu_reserved_mb": 4_096}
    engine.status = lambda: replace(
        ToneEngine.status(engine), voice_cache_hits=3, warnings=("no flash attention",), details=gpu
    )
    health = (await server.get("/health")).json()
    assert (health["cuda"], health["gpu_name"]) == (True, "H100")
    assert (health["gpu_allocated_mb"], health["gpu_reserved_mb"]) == (2_048, 4_096)
    assert (health["voice_cache_hits"], health["warnings"]) == (3, ["no flash attention"])


async def test_health_counts_what_is_being_made(server, engine):
    engine.hold(chunks=1)
    async with server.session.post(
        server.url + "/v1/audio/speech", json={"input": "Hello there.", "stream": True}
    ) as response:
        assert (await server.get("/health")).json()["queue_depth"] == 1
        engine.release()
        await response.read()
    assert (await server.get("/health")).json()["queue_depth"] == 0


async def test_health_tells_that_the_model_is_loaded_again(server, engine):
    engine.status = lambda: replace(ToneEngine.status(engine), ready=False, model_loaded=False)
    answer = await server.get("/health")
    assert (answer.status, answer.json()["status"]) == (200, "loading")


async def test_others_add_to_health(server):
    server.runner.app[HEALTH].append(lambda: {"calls": {"active": 3}})
    health = (await server.get("/health")).json()
    assert health["calls"] == {"active": 3}
    assert health["status"] == "ok"


async def test_models_are_openais_and_ours(server):
    listed = (await server.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert {"tone-1", "tts-1", "gpt-4o-mini-tts"} <= {model["id"] for model in listed["data"]}
    assert (await server.get("/v1/models/tts-1")).json()["object"] == "model"
    assert (await server.get("/v1/models/gpt-9")).status == 404


async def test_info_says_what_can_be_asked_for(server):
    info = (await server.get("/v1/info")).json()
    assert info["version"] == version("talkspurt")
    assert (info["engine"], info["sample_rate"], info["can_clone"]) == ("tone", 24_000, True)
    assert {form["name"] for form in info["formats"]} == set(FORMATS)
    for form in info["formats"]:
        for rate_hz in form["sample_rates"]:
            answer = await server.speech("Hi.", response_format=form["name"], sample_rate=rate_hz)
            assert answer.status == 200
            assert answer.headers["Content-Type"] == form["content_type"]
    for voice in info["voices"]:
        assert (await server.speech("Hi.", voice=voice)).status == 200


async def test_metrics_count_what_was_said(server, engine):
    await server.speech("Hello there.", response_format="mp3")
    await server.speech("Hello there.", response_format="mp3")
    await server.speech("unspeakable")
    answer = await server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    told = (("endpoint", "/v1/audio/speech"), ("format", "mp3"), ("outcome", "ok"))
    assert samples[("talkspurt_speech_requests_total", *told)] == 2
    assert ("endpoint", "/v1/audio/speech") in told
    assert samples[("talkspurt_audio_cache_hits_total",)] == 1
    assert samples[("talkspurt_speech_characters_total",)] == 2 * len("Hello there.") + len("unspeakable")
    assert samples[("talkspurt_speech_first_audio_seconds_count", ("endpoint", "/v1/audio/speech"))] == 1
    failed = (("endpoint", "/v1/audio/speech"), ("format", "wav"), ("outcome", "UNSPEAKABLE_TEXT"))
    assert samples[("talkspurt_speech_requests_total", *failed)] == 1


async def test_metrics_tell_what_the_engine_counts(server, engine):
    engine.status = lambda: replace(
        ToneEngine.status(engine), voice_cache_hits=7, voice_cache_misses=2, refused=3, capacity=512
    )
    lines = (await server.get("/metrics")).body.decode().splitlines()
    assert "talkspurt_voice_cache_hits_total 7.0" in lines
    assert "talkspurt_voice_cache_misses_total 2.0" in lines
    assert "talkspurt_engine_refused_total 3.0" in lines
    assert "talkspurt_engine_capacity 512.0" in lines
    assert not any("talkspurt_engine_faults" in line for line in lines), "it does not tell of these"


async def test_the_page_needs_nothing_from_elsewhere(server):
    answer = await server.get("/docs")
    page = answer.body.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "https://" not in page
    for path in (await server.get("/openapi.json")).json()["paths"]:
        assert f"<code>{path}</code>" in page
    assert "<code>/v1/audio/speech/ws</code>" in page
    assert page.count("<table>") == page.count("</table>")
