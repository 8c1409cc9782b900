"""The machine as this process may use it: cores, instructions, memory and accelerators.

A container sees the whole host in `/proc`, yet its control group may grant a fraction. Every
figure here is what the process can have, read from files and system calls alone: no torch.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from fathom.planning.accelerators import Accelerator, accelerators

# Kernel flag → the name that people use. Only sets that change how fast a model runs.
INSTRUCTION_SETS: Mapping[str, str] = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "amx_fp16": "amx_fp16",
    "asimd": "neon",
    "asimdhp": "neon_fp16",
    "asimddp": "neon_dotprod",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process can use. Memory is in bytes.

    `memory_total` is the host's; `memory_limit` what this process may hold, the smaller of the
    host and its control groups; `memory_available` what of that is free or reclaimable now.
    """

    system: str  # "Linux x86_64"
    cpu: str
    cores: int  # that this process may keep busy: affinity and quota count
    host_cores: int
    instructions: tuple[str, ...]
    last_level_cache: int | None  # bytes, all slices that the machine has
    memory_total: int
    memory_limit: int
    memory_available: int
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def device(self) -> str:
        """Where a model runs if nobody says, as PyTorch names it."""
        return "cuda" if self.accelerators else "cpu"

    @property
    def identity(self) -> str:
        """A text equal for machines on which the same measurement should come out."""
        extension = "+".join(self.instructions)
        return f"{self.system}; {self.cpu}; {self.cores} of {self.host_cores} cores; {extension}"


def this_machine(root: Path = Path("/")) -> Machine:
    """Describe the machine. `root` is where `/proc` and `/sys` are found; tests give their own."""
    import psutil

    groups = control_groups(root)
    limit, available = _memory(groups)
    cpu, instructions = _processor(root)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=cpu,
        cores=_usable_cores(groups),
        host_cores=os.cpu_count() or 1,
        instructions=instructions,
        last_level_cache=_last_level_cache(root),
        memory_total=psutil.virtual_memory().total,
        memory_limit=limit,
        memory_available=available,
        accelerators=accelerators(root),
    )


def huge_page_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of the pages that a large array is made of; 0 where they are usual ones.

    What asks for huge ones gets them from the system unless it was told never to grant that.
    """
    pages = root / "sys/kernel/mm/transparent_hugepage"
    wish = _read(pages / "enabled")
    return 0 if not wish or "[never]" in wish else _number(pages / "hpage_pmd_size") or 0


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The limits of one control group; ``None`` where it sets none. Memory in bytes."""

    memory_limit: int | None = None
    memory_used: int | None = None  # without file pages, which the kernel gives back on demand
    cores: float | None = None  # quota divided by period


def control_groups(root: Path) -> tuple[ControlGroup, ...]:
    """Return the process's control groups and all their parents, of version 1 and version 2."""
    listing = _read(root / "proc/self/cgroup")
    mount = root / "sys/fs/cgroup"
    groups: list[ControlGroup] = []
    for line in listing.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            reader = _READERS.get(controller)
            if reader is not None:
                groups += [reader(folder) for folder in _upwards(mount / controller, path)]
    return tuple(groups)


def _upwards(mount: Path, path: str) -> list[Path]:
    """Return the folder of a group and of each parent: a parent's limit binds its children.

    Inside a container the path may be the host's while the mount shows only our own part of
    the tree, so folders that are not there are passed over; the mount itself always counts.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    folders = [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [folder for folder in folders if folder.is_dir()]


def _version_2(folder: Path) -> ControlGroup:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return ControlGroup(
        memory_limit=_number(folder / "memory.max"),
        memory_used=_memory_used(folder, "memory.current", ("active_file", "inactive_file")),
        cores=int(quota) / int(period) if quota.isdigit() and period.isdigit() else None,
    )


def _version_1_memory(folder: Path) -> ControlGroup:
    files = ("total_active_file", "total_inactive_file")
    return ControlGroup(
        memory_limit=_number(folder / "memory.limit_in_bytes"),
        memory_used=_memory_used(folder, "memory.usage_in_bytes", files),
    )


def _version_1_cpu(folder: Path) -> ControlGroup:
    quota = _number(folder / "cpu.cfs_quota_us")  # -1, which is no number here, means no quota
    period = _number(folder / "cpu.cfs_period_us")
    return ControlGroup(cores=quota / period if quota and period else None)


# The controller as `/proc/self/cgroup` names it; version 2 has one tree for all, without a name.
_READERS = {"": _version_2, "memory": _version_1_memory, "cpu": _version_1_cpu}


def _memory_used(folder: Path, usage: str, reclaimable: tuple[str, ...]) -> int | None:
    used = _number(folder / usage)
    if used is None:
        return None
    lines = (line.split() for line in _read(folder / "memory.stat").splitlines())
    files = sum(int(line[1]) for line in lines if len(line) == 2 and line[0] in reclaimable)
    return max(0, used - files)


def _memory(groups: tuple[ControlGroup, ...]) -> tuple[int, int]:
    """Return (limit, available) in bytes."""
    import psutil

    host = psutil.virtual_memory()
    limit, available = host.total, host.available
    for group in groups:
        if group.memory_limit is None:
            continue
        limit = min(limit, group.memory_limit)
        available = min(available, max(0, group.memory_limit - (group.memory_used or 0)))
    return limit, available


def _usable_cores(groups: tuple[ControlGroup, ...]) -> int:
    """Return how many threads can run at once; part of a core counts as one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [ceil(group.cores) for group in groups if group.cores is not None]
    return max(1, min([allowed or 1, *quotas]))


def _processor(root: Path) -> tuple[str, tuple[str, ...]]:
    """Return the processor's name and the instruction sets worth naming."""
    listing = _read(root / "proc/cpuinfo")
    name = _field(listing, "model name") or _field(listing, "Hardware") or platform.processor()
    flags = set(f"{_field(listing, 'flags')} {_field(listing, 'Features')}".split())
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        flags |= {"asimd", "asimdhp", "asimddp"}  # every Apple processor has these
    found = tuple(name for flag, name in INSTRUCTION_SETS.items() if flag in flags)
    return name or platform.machine(), found


def _field(listing: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", listing, re.MULTILINE)
    return found[1].strip() if found else ""


def _last_level_cache(root: Path) -> int | None:
    """Return the bytes of level 3 cache over all its slices, or ``None`` where it is not told."""
    slices: dict[str, int] = {}
    for index in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index3"):
        size = re.fullmatch(r"(\d+)K", _read(index / "size"))
        if size:
            slices[_read(index / "shared_cpu_list")] = int(size[1]) * 1024
    return sum(slices.values()) or None


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    """Return a file's text without its final newline; empty where it is absent or refused."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""  # no such controller here: there is no limit to report
