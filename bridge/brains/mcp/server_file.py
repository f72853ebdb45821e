"""A server of tools, as the YAML file names it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.extras import install


class McpToolOptions(BaseModel):
    """What the file says of one tool. What it leaves out holds as for all tools of the server."""

    model_config = ConfigDict(extra="forbid")

    timeout_ms: int | None = Field(default=None, ge=1, le=60_000)
    on_interrupt: Literal["finish", "cancel"] | None = None
    say: str | None = Field(default=None, max_length=500)


class McpServerFile(BaseModel):
    """One server, reached at a `url` or started as a `command`."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(default="", pattern=r"^(https?://[^/]+.*)?$")
    headers: dict[str, str] = {}
    command: list[str] = []
    env: dict[str, str] = {}
    """The command's environment, beside PATH, HOME and the like. It is given none of ours."""
    tools: dict[str, McpToolOptions] = {}
    """The tools that the model is offered; all of them if there are none here."""
    timeout_ms: int = Field(default=5_000, ge=1, le=60_000)
    on_interrupt: Literal["finish", "cancel"] | None = None
    """What becomes of a call at work when the caller interrupts; None: it finishes unless the tool only reads."""
    say: str = Field(default="", max_length=500)
    """What the caller hears while a tool is at work, if the model has said nothing before it."""

    @model_validator(mode="after")
    def _is_reached_one_way(self) -> Self:
        if bool(self.url) == bool(self.command):
            raise ValueError("either url or command must say where the server is")
        if self.command and self.headers:
            raise ValueError("headers are for a url")
        if self.url and self.env:
            raise ValueError("env is for a command")
        if find_spec("mcp") is None:
            raise ValueError(f"it needs the package mcp: {install('mcp')}")
        return self
