"""The kernels compile for GPUs that are not here, and fit them: shared memory, and registers without much spilling.

Registers and spilling are the assembler's to tell, so nothing short of a whole compilation does. What can be spared is
a compilation that tells nothing new: `tests.support.qwen3.build_kernels.covering` says which. Triton keeps what it
has compiled, by the kernel's code, so that a kernel that has not changed is compiled once on a machine.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.support.asterisk.fetch import CACHE
from tests.support.qwen3.kernel_support import WHY_NOT

if WHY_NOT or importlib.util.find_spec("triton.knobs") is None:
    pytest.skip(WHY_NOT or "this Triton tells of no compilation", allow_module_level=True)

SPILLED_BYTES = 96
"""The most bytes that a thread may spill, in a kernel that waits for memory anyway."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("capability", "size", "quantize", "shared_bytes"),
    [
        pytest.param(89, "0.6B", "none", 99 * 1024, id="RTX 4060"),
        pytest.param(89, "0.6B", "int8", 99 * 1024, id="RTX 4060, int8"),
        pytest.param(90, "1.7B", "fp8", 227 * 1024, id="H100, 1.7B, fp8"),
    ],
)
def test_the_kernels_fit(capability: int, size: str, quantize: str, shared_bytes: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.qwen3.build_kernels", str(capability), size, quantize],
        env=environment | {"TRITON_CACHE_DIR": str(CACHE / "triton")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    made = [line.split() for line in done.stdout.splitlines()]
    expected = {"_rows", "_attend", "_attend_dot", "_attend_few", "_first", "_next"}
    assert expected | {"_conv" if quantize == "none" else "_slices"} <= {name for name, *_ in made}
    assert not [line for line in made if int(line[3]) > shared_bytes], "more shared memory than the GPU has"
    assert not [line for line in made if int(line[2]) > SPILLED_BYTES], "spilled"
