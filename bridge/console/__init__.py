"""The console at `/console`: a page that shows calls, live and recorded, from their journals and their sound."""

from __future__ import annotations

from bridge.console.rights import Rights
from bridge.console.routes import add_console
from bridge.console.session import take_console_cookies

__all__ = ["Rights", "add_console", "take_console_cookies"]
