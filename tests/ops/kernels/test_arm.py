"""The kernels for ARM processors, cross-compiled and held to the portable ones by an emulator.

`agreement/` is the program that compares them; no machine with such a processor is needed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[3]
COMPILER, CMAKE = "aarch64-linux-gnu-g++", "cmake"
EMULATOR = next(filter(which, ("qemu-aarch64-static", "qemu-aarch64")), "qemu-aarch64-static")
# Processors by what they lack, and the kernels that have to be chosen on each.
PROCESSORS = {"cortex-a53": "neon", "cortex-a76": "neon-dotprod", "max": "neon-dotprod-bf16"}
LACKING = [name for name in (COMPILER, CMAKE, EMULATOR) if which(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(
    bool(LACKING), reason=f"kernels for ARM need {', '.join(LACKING)}, as Debian packages them"
)
def test_kernels_of_every_arm_processor_agree_with_the_portable_ones() -> None:
    build = ROOT / "build" / "arm"
    system = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    _run(CMAKE, "-S", ROOT, "-B", build, "-DFATHOM_AGREEMENT=ON", *system,
         f"-DCMAKE_CXX_COMPILER={COMPILER}")  # fmt: skip
    _run(CMAKE, "--build", build, "--parallel", "2")
    for processor, kernels in PROCESSORS.items():
        said = _run(EMULATOR, "-cpu", processor, build / "agreement", kernels)
        assert said.startswith(f"{kernels}: 0 of ")


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
