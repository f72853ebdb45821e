"""The settings of conversations: turns, brain, registration, recording and web-hooks, and those of what is heard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from bridge.addresses import HttpAddress
from bridge.brains.destinations import Destination, Destinations
from bridge.brains.extra_body import read_extra_body
from bridge.brains.fixed_keys import FixedKeys
from bridge.brains.script import load_script
from bridge.brains.tools import load_tools
from bridge.conversation.answering_machine import OnVoicemail
from bridge.conversation.sounds import Ringing, ThinkingSound
from bridge.conversation.webhooks import secret_key
from bridge.hearing.settings import HearingSettings
from bridge.turns.words import BACKCHANNELS
from engine.speech import MAX_SPEED, MIN_SPEED, Style

Sends = Literal["auto", "true", "false"]

AUTO: Final = "auto"

SERVER_WIDE: Final = frozenset(
    {"agents", "lexicon", "require_registration", "registration_ttl", "lookup_url", "lookup_timeout_ms"}
    | {"webhook_url", "webhook_secret", "record_max_days", "record_max_mb"}
)
"""Settings that all agents of a server share."""

EMBEDDED_EARLY_ANSWER_MS: Final = 64
"""A look at the words is taken in each such pause anyway, and most of the answers begun then are used."""


class ConversationSettings(HearingSettings):
    """Who hears the callers and who answers them, how turns are taken, and what is kept of a call."""

    agents: Path | None = Field(None, description="YAML file of several agents; empty: one, as these settings say")
    lexicon: Path | None = Field(None, description="YAML file of how words are pronounced: docs/pronunciation.md")
    greeting: str = Field("", description="said to every caller; empty for none")
    voice: str = Field("", description="empty for the engine's default")
    voice_language: str = Field(
        "", pattern=r"^([a-z]{2})?$", description="ISO 639-1, of what the agent says; empty: told from its words"
    )
    voice_speed: float = Field(1.0, ge=MIN_SPEED, le=MAX_SPEED, description="1.0 is the voice's own pace")
    realtime_voice: str = Field("", description="one of the voices of REALTIME_URL; empty for its default")

    min_interrupt_words: int = Field(1, ge=0, description="words that end the agent's turn; 0: any speech does")
    false_interruption_timeout_ms: int = Field(
        1_000, ge=0, description="after a sound without words, until the agent goes on"
    )
    backchannels: str = Field(
        AUTO,
        description="languages whose listener's noises do not interrupt, as en,de; auto: ASR_LANGUAGE, or en; "
        "none: all words interrupt",
    )
    early_answer_ms: int | None = Field(
        None,
        ge=0,
        description="silence after which a model's answer is begun, and held until the words are sure; 0: never; "
        "empty: 64 with ASR_PROTOCOL=embedded, else 0",
    )
    on_voicemail: OnVoicemail = Field("go_on", description="for calls with the variable amd; message: after the beep")
    voicemail_message: str = Field("", validate_default=True, description="said to voicemail, with {variables}")
    greeting_protection_ms: int = Field(0, ge=0, description="of the greeting, not to be interrupted")
    echo_guard_ms: int = Field(0, ge=0, description="after the agent begins, the caller's sound is its echo")
    echo_text: bool = Field(True, description="words that the agent was just saying are its echo, not the caller's")
    resume_rewind_ms: int = Field(0, ge=0, le=2_000, description="how far before the pause to go on")
    no_input_timeout_ms: int = Field(10_000, ge=0, description="silence of both until the caller is prompted; 0: never")
    no_input_prompt: str = Field(
        "Are you still there?|I cannot hear you. Please say something.",
        description="said by a model's agent to a silent caller, one line after the other, before the fallback",
    )
    unclear_timeout_ms: int = Field(
        1_500, ge=0, description="after speech without a word that was recognised, until UNCLEAR_PROMPT; 0: never"
    )
    unclear_prompt: str = Field(
        "Sorry, I did not catch that.|I still do not understand. Please say it again, slowly."
        "|I am sorry, I do not understand you. Please say it once more.",
        description="said by a model's agent, one line after the other, before the fallback",
    )
    max_call_s: float = Field(
        3_600, ge=0, allow_inf_nan=False, description="seconds after which a call goes to the fallback; 0: never"
    )
    max_call_warning: str = Field("This call has to end in half a minute.", description="said 30 s before MAX_CALL_S")

    llm_base_url: HttpAddress = Field("", description="OpenAI-compatible, up to /v1; empty for the script")
    llm_model: str = Field("", validate_default=True, description="the model that LLM_BASE_URL serves")
    llm_api_key: SecretStr = Field(SecretStr(""), description="bearer token for LLM_BASE_URL; empty for none")
    llm_temperature: float | None = Field(None, ge=0, le=2, description="empty for the server's own")
    llm_max_tokens: int | None = Field(None, ge=1, description="of one answer; empty for the server's own")
    llm_max_completion_tokens: int | None = Field(None, ge=1, description="what newer servers want for LLM_MAX_TOKENS")
    llm_reasoning_effort: str = Field(
        "", pattern=r"^[a-z]*$", description="none, minimal, low … as the server knows it"
    )
    llm_extra_body: str = Field("", description="more fields of the request, a JSON object")
    llm_send_tools: Sends = Field("auto", description="auto: until the server refuses them")
    llm_send_system: Sends = Field("auto", description="false: the prompt stands in the caller's first message")
    llm_fallback_base_url: HttpAddress = Field("", description="of a second model, asked when the first fails")
    llm_fallback_model: str = Field("", validate_default=True, description="the model of LLM_FALLBACK_BASE_URL")
    llm_fallback_api_key: SecretStr = Field(
        SecretStr(""), description="bearer token for LLM_FALLBACK_BASE_URL; empty for none"
    )
    llm_tools: Path | None = Field(None, description="YAML file of tools, over HTTP or of MCP servers")
    system_prompt: str = Field(
        "You are on the telephone. Answer in one or two short spoken sentences, without lists, markup or emoji.",
        description="what the model is told to be and to do, with {variables}",
    )
    llm_condense_after: int = Field(
        100,
        ge=0,
        le=200,
        description="messages after which the beginning of a call is summed up for the model; 0: never",
    )
    llm_condense_keep: int = Field(
        40, ge=2, le=200, validate_default=True, description="the latest messages, which are never summed up"
    )
    llm_timeout_ms: int = Field(8_000, ge=100, description="to the first words or tool; from those to the next")
    filler: str = Field("One moment, please.", description="said while the answer is slow")
    filler_after_ms: int = Field(2_000, ge=0, description="0: never")
    thinking_sound: ThinkingSound = Field(
        "", description="heard while the agent thinks: `soft`, or a WAV file; empty for none"
    )
    thinking_sound_after_ms: int = Field(600, ge=100, description="silence after which it is heard")
    thinking_sound_db: float = Field(-34, ge=-60, le=-15, description="how loud it is; speech is about -20")
    ringing: Ringing = Field("none", description="heard until the greeting begins, as in that country")
    script: Path | None = Field(None, description="YAML dialogue, used without LLM_BASE_URL")

    transfer_allow: str = Field("", description="where calls may go: `sales=ext-queues,400,1; from-internal,2??,1`")
    transfer_warm: str = Field("", description="of those, where somebody is told of the call first: `sales; 2??`")
    transfer_brief: str = Field(
        "A call for you, from {caller}. {brief} Press 1 to take the call, or 2 to decline.",
        description="what they are told; {brief} is the model's summary, or what the caller {said}",
    )
    transfer_failed: str = Field("Sorry, nobody is free at the moment.", description="said by a script's agent then")
    cut_off: str = Field(
        "Sorry, we were cut off.",
        description="said first by a call that goes on after its server was lost; {said} is what the caller said last",
    )
    fixed_keys: str = Field("", description="what keys do at once, without a model: `0=operator|One moment.; 9=hangup`")
    fallback_destination: Destination = Field(
        "", description="where failed calls go, on TRANSFER_ALLOW or not; empty: the dialplan's own fallback"
    )
    require_registration: bool = Field(False, description="true: a call is taken only if it was announced over HTTP")
    registration_ttl: float = Field(60.0, gt=0, description="seconds until an unused registration expires")
    record_dir: Path | None = Field(
        None, description="stereo WAV, JSON transcript and journal of every call; empty for none"
    )
    record_max_days: float = Field(
        0, ge=0, allow_inf_nan=False, description="days after which a recording is removed; 0: never"
    )
    record_max_mb: int = Field(
        0, ge=0, description="megabytes of RECORD_DIR above which the oldest recordings are removed; 0: never"
    )
    summary: bool = Field(False, description="the model sums up each call for WEBHOOK_URL and SUMMARY_MAIL_TO")
    summary_prompt: str = Field(
        "Sum up this telephone call for a colleague in at most five short sentences: who called, what for, what was "
        "agreed, and what is still to be done. Write no more than what was said.",
        description="what the model is asked then",
    )
    summary_mail_to: str = Field("", description="the address that is sent each summary, by /usr/sbin/sendmail")
    lookup_url: HttpAddress = Field("", description="asked about each announced caller; its JSON answer adds variables")
    lookup_timeout_ms: int = Field(500, ge=50, le=1_500, description="how long the greeting may wait for LOOKUP_URL")
    webhook_url: HttpAddress = Field("", description="told of every call's start and end")
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="signs what WEBHOOK_URL is told: base64, as `openssl rand -base64 32` prints"
    )

    @field_validator("summary")
    @classmethod
    def _has_a_model(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("llm_base_url"):
            raise ValueError("must be false without LLM_BASE_URL: a model sums up the calls")
        return value

    @field_validator("summary_mail_to")
    @classmethod
    def _is_mail_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"[!-;=?-~]+@[A-Za-z0-9.-]+", value, re.ASCII):
            raise ValueError("must be an address such as desk@example.com")
        return value

    @field_validator("llm_condense_keep")
    @classmethod
    def _leaves_something(cls, value: int, info: ValidationInfo) -> int:
        after = info.data.get("llm_condense_after")
        if after and value >= after:
            raise ValueError(f"must be less than LLM_CONDENSE_AFTER={after}")
        return value

    @field_validator("backchannels")
    @classmethod
    def _are_known(cls, value: str) -> str:
        if value == "none":
            return ""
        for language in parted(value):
            if value != AUTO and language not in BACKCHANNELS:
                raise ValueError(f"must be {AUTO}, none, or languages out of {', '.join(BACKCHANNELS)}")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        secret_key(value.get_secret_value())
        return value

    @field_validator("transfer_allow", "transfer_warm")
    @classmethod
    def _is_allow_list(cls, value: str, info: ValidationInfo) -> str:
        lists = [info.data["transfer_allow"], value] if "transfer_allow" in info.data else [value]
        try:
            Destinations(*lists)
        except ValueError as error:
            raise ValueError(f"must be an allow-list: {error}") from None
        return value

    @field_validator("fixed_keys")
    @classmethod
    def _are_keys(cls, value: str, info: ValidationInfo) -> str:
        try:
            agents = FixedKeys(value, Destinations(info.data.get("transfer_allow", ""))).agents
        except ValueError as error:
            raise ValueError(f"must be keys and what they do: {error}") from None
        if agents and info.data.get("agents") is None:
            raise ValueError(f"must not name the agent {agents[0]} without AGENTS")
        return value

    @field_validator("voicemail_message")
    @classmethod
    def _is_said(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("on_voicemail") == "message":
            raise ValueError("must not be empty with ON_VOICEMAIL=message")
        return value

    @field_validator("script")
    @classmethod
    def _is_script(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                load_script(value)
            except ValueError as error:
                raise ValueError(f"must be a dialogue: {error}") from None
        return value

    @field_validator("llm_tools")
    @classmethod
    def _are_tools(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                load_tools(value)
            except ValueError as error:
                raise ValueError(f"must be a tool file: {error}") from None
        return value

    @field_validator("llm_model", "llm_fallback_model")
    @classmethod
    def _is_named(cls, value: str, info: ValidationInfo) -> str:
        address = str(info.field_name).replace("model", "base_url")
        if info.data.get(address) and not value:
            raise ValueError(f"must name the model that {address.upper()} serves")
        return value

    @field_validator("llm_fallback_base_url")
    @classmethod
    def _has_a_first(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("llm_base_url"):
            raise ValueError("must be empty without LLM_BASE_URL")
        return value

    @field_validator("llm_extra_body")
    @classmethod
    def _are_fields(cls, value: str) -> str:
        read_extra_body(value)
        return value

    @property
    def style(self) -> Style:
        """How the agent speaks."""
        return Style(voice=self.voice, language=self.voice_language or None, speed=self.voice_speed)

    def extra_body(self) -> dict[str, Any]:
        """Returns the fields of LLM_EXTRA_BODY."""
        return read_extra_body(self.llm_extra_body)

    @property
    def early_ms(self) -> int:
        """The silence after which an answer is begun; 0 for never."""
        if self.early_answer_ms is not None:
            return self.early_answer_ms
        return EMBEDDED_EARLY_ANSWER_MS if self.asr_protocol == "embedded" else 0


def models_key(settings: ConversationSettings) -> tuple[Any, ...]:
    """Returns what two agents' settings have to have in common for one set of models to answer for both."""
    return tuple(value for name, value in settings if name.startswith("llm_") and name != "llm_tools")


def parted(text: str) -> list[str]:
    """Returns what commas part."""
    return [part.strip() for part in text.split(",") if part.strip()]
