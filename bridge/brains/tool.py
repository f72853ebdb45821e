"""What every tool of a language model is, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp

from bridge.brains.tool_result import ToolResult


class Tool(Protocol):
    """A tool that is neither a transfer nor a hang-up."""

    @property
    def name(self) -> str:
        """What the model calls it."""

    @property
    def description(self) -> str:
        """What the model is told of it."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""

    @property
    def say(self) -> str:
        """What the caller hears while it is at work, if the model has said nothing before it."""

    @property
    def finishes(self) -> bool:
        """Tells whether a call that is at work goes on when the turn is cut."""

    async def call(
        self, http: aiohttp.ClientSession, variables: Mapping[str, str], arguments: dict[str, Any], key: str
    ) -> ToolResult:
        """Runs it once and returns its outcome. A failure is told to the model, never raised.

        `key` is the same for each attempt at the same thing.
        """
