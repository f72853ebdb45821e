"""The settings of traces. Their names are OpenTelemetry's own, as collectors and their documentation have them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from pydantic import BaseModel, Field, SecretStr, field_validator

from bridge.addresses import HttpAddress
from engine.extras import install

PACKAGES: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


class TraceSettings(BaseModel):
    """Where the spans of calls are sent, and whether they hold what was said."""

    otel_exporter_otlp_endpoint: HttpAddress = Field(
        "", description="collector that is sent traces by OTLP over HTTP, such as http://localhost:4318; empty: none"
    )
    otel_exporter_otlp_headers: SecretStr = Field(
        SecretStr(""), description="what it is sent with each request, such as `api-key=…`; several with commas"
    )
    otel_service_name: str = Field("talkspurt", min_length=1, description="the name of this server in traces")
    otel_instrumentation_genai_capture_message_content: bool = Field(
        False, description="true: traces hold words, tools' arguments and results, as far as PRIVACY keeps them"
    )

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _has_packages(cls, value: str) -> str:
        if value and not all(map(_is_there, PACKAGES)):
            raise ValueError(f"must be empty without its packages: {install('otel')}")
        return value


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a package above it
        return False
