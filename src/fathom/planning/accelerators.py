"""Accelerators found without torch: NVIDIA through its management library, AMD through sysfs.

Both answer in milliseconds, so that `fathom` alone can name them. They say what is plugged in
and visible to this process; whether the installed torch can use it is torch's to say.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device. `memory` is in bytes; `shared` where that is the machine's own memory."""

    kind: str  # torch's word for it: "cuda" (NVIDIA and AMD) or "mps"
    name: str
    memory: int
    shared: bool = False


def accelerators(root: Path = Path("/")) -> tuple[Accelerator, ...]:
    """Return the accelerators of this machine in the order that their drivers list them."""
    return (*_nvidia(), *_amd(root), *_apple())


class _Memory(ctypes.Structure):
    """`nvmlMemory_t` of NVIDIA's management library: three counts of bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def _nvidia() -> Iterator[Accelerator]:
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return  # no driver, no device
    if library.nvmlInit_v2() != 0:
        return
    try:
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        found = [_nvidia_device(library, index) for index in range(count.value)]
    finally:
        library.nvmlShutdown()
    yield from (device for identity, device in found if _visible(identity))


def _nvidia_device(library: ctypes.CDLL, index: int) -> tuple[tuple[int, str], Accelerator]:
    """Return ((index, unique id), device)."""
    handle = ctypes.c_void_p()
    name, identifier = ctypes.create_string_buffer(96), ctypes.create_string_buffer(96)
    memory = _Memory()
    library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    library.nvmlDeviceGetName(handle, name, 96)
    library.nvmlDeviceGetUUID(handle, identifier, 96)
    library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    device = Accelerator("cuda", name.value.decode(), memory.total)
    return (index, identifier.value.decode()), device


def _visible(identity: tuple[int, str]) -> bool:
    """Whether CUDA_VISIBLE_DEVICES, a list of indices or of unique ids, lets us use a device."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return True
    index, identifier = identity
    wanted = [entry.strip() for entry in listed.split(",") if entry.strip()]
    return any(entry == str(index) or identifier.startswith(entry) for entry in wanted)


def _amd(root: Path) -> Iterator[Accelerator]:
    """Read the `amdgpu` driver's files. Integrated graphics without own memory stay out."""
    for device in sorted((root / "sys/class/drm").glob("card[0-9]*/device")):
        with suppress(OSError, ValueError):  # another vendor's card has no such file
            memory = int((device / "mem_info_vram_total").read_text())
            name = device / "product_name"
            label = name.read_text().strip() if name.is_file() else ""
            if memory >= 2**30:
                yield Accelerator("cuda", label or "AMD graphics", memory)


def _apple() -> Iterator[Accelerator]:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        import psutil

        yield Accelerator("mps", "Apple graphics", psutil.virtual_memory().total, shared=True)
