"""All faults, in the order of the table."""

from __future__ import annotations

from typing import Final

from tests.faults.fault import Fault
from tests.faults.model_faults import MODEL, TOGETHER, TOOLS
from tests.faults.own_faults import ENGINE, LINE
from tests.faults.recogniser_faults import RECOGNISER

FAULTS: Final[list[Fault]] = [*RECOGNISER, *MODEL, *TOGETHER, *TOOLS, *ENGINE, *LINE]
