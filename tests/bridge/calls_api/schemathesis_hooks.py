"""Which calls schemathesis asks for, most of the time: some that there are, as the environment names them."""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

import schemathesis

CALLS = cycle(os.environ["TALKSPURT_CALLS"].split())


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Four in five are real."""
    call = next(CALLS)
    if path_parameters and call != "none":
        path_parameters["id"] = call
    return path_parameters
