"""Has schemathesis ask mostly for calls that exist, which the environment names."""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

import schemathesis

from tests.support.draws import SEED, forget_constants

CALLS = cycle(os.environ["TALKSPURT_CALLS"].split())
if SEED not in os.environ:
    forget_constants()


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns ids of which four in five are of real calls."""
    call = next(CALLS)
    if path_parameters and call != "none":
        path_parameters["id"] = call
    return path_parameters
