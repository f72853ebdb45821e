"""The settings of what is kept of a call."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from bridge.journal.privacy import Privacy, PrivacyMode

MIN_KEY_CHARS: Final = 16
"""There are few telephone numbers: with a key that can be guessed, each could be tried."""


class PrivacySettings(BaseModel):
    """How much of what callers say, press and are is kept."""

    privacy: PrivacyMode = Field(
        "off",
        description="what journals, recordings and web-hooks hold. off: all; routing: no numbers, no keys; "
        "strict: no words and no sound either. docs/privacy.md",
    )
    privacy_key: SecretStr = Field(
        SecretStr(""),
        validate_default=True,
        description="what numbers are hashed with; needed for PRIVACY=routing, as `openssl rand -base64 32` prints",
    )

    @field_validator("privacy_key")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("privacy") == "routing" and len(value.get_secret_value()) < MIN_KEY_CHARS:
            raise ValueError(f"must have at least {MIN_KEY_CHARS} characters with PRIVACY=routing")
        return value

    def make(self) -> Privacy:
        """Returns what goes by these settings."""
        return Privacy(self.privacy, self.privacy_key.get_secret_value())
