"""The machine, read from made-up `/proc` and `/sys` trees: containers, quotas, processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fathom.planning import accelerators as devices
from fathom.planning.machine import INSTRUCTION_SETS, huge_page_bytes, this_machine

GB = 10**9


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below a root and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of 64 cores and 100 GB of which 60 GB are free, without accelerators."""
    memory = psutil.virtual_memory()._replace(total=100 * GB, available=60 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(devices, "_nvidia", lambda: iter(()))


def test_a_host_without_limits(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert (machine.cores, machine.host_cores) == (64, 64)
    assert (machine.memory_total, machine.memory_limit) == (100 * GB, 100 * GB)
    assert machine.memory_available == 60 * GB
    assert (machine.instructions, machine.last_level_cache) == ((), None)


def test_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert this_machine(tmp_path).cores == 2


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 64),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("100000000 100000", 64),
        ("", 64),
    ],
)
def test_version_2_quota(quota: str, cores: int, tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/box", "sys/fs/cgroup/box/cpu.max": quota}
    assert this_machine(tree(tmp_path, files)).cores == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 64), ("200000", 2), ("250000", 3)])
def test_version_1_quota(quota: str, cores: int, tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu,cpuacct:/box\n3:memory:/box",
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
    }
    assert this_machine(tree(tmp_path, files)).cores == cores


def test_version_2_memory_without_file_pages(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/box",
        "sys/fs/cgroup/box/memory.max": str(8 * GB),
        "sys/fs/cgroup/box/memory.current": str(7 * GB),
        "sys/fs/cgroup/box/memory.stat": f"anon {2 * GB}\nactive_file {GB}\ninactive_file {4 * GB}",
    }
    machine = this_machine(tree(tmp_path, files))
    assert (machine.memory_limit, machine.memory_available) == (8 * GB, 6 * GB)
    assert machine.memory_total == 100 * GB


def test_version_1_memory(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/box",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(8 * GB),
        "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(5 * GB),
        "sys/fs/cgroup/memory/box/memory.stat": f"total_inactive_file {3 * GB}\ninactive_file 9",
    }
    machine = this_machine(tree(tmp_path, files))
    assert (machine.memory_limit, machine.memory_available) == (8 * GB, 6 * GB)


def test_no_limit_in_version_1_is_a_huge_number(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    machine = this_machine(tree(tmp_path, files))
    assert (machine.memory_limit, machine.memory_available) == (100 * GB, 60 * GB)


def test_a_parent_s_limit_binds(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/outer/inner",
        "sys/fs/cgroup/outer/memory.max": str(3 * GB),
        "sys/fs/cgroup/outer/inner/memory.max": "max",
    }
    assert this_machine(tree(tmp_path, files)).memory_limit == 3 * GB


def test_inside_a_container_the_mount_is_our_own_group(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/kubepods/pod1234",  # a folder that the mount does not show
        "sys/fs/cgroup/memory.max": str(2 * GB),
    }
    assert this_machine(tree(tmp_path, files)).memory_limit == 2 * GB


@pytest.mark.parametrize("flag", INSTRUCTION_SETS)
@pytest.mark.parametrize("field", ["flags", "Features"])
def test_each_instruction_set_is_found(flag: str, field: str, tmp_path: Path) -> None:
    listing = f"processor\t: 0\nmodel name\t: Maker 9000\n{field}\t\t: fpu {flag} other"
    machine = this_machine(tree(tmp_path, {"proc/cpuinfo": listing}))
    assert machine.instructions == (INSTRUCTION_SETS[flag],)
    assert machine.cpu == "Maker 9000"


def test_slices_of_the_cache_are_added_once(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu/cpu{}/cache/index3"
    files = {}
    for core, shared in enumerate(["0-1", "0-1", "2-3", "2-3"]):
        files |= {f"{folder.format(core)}/size": "32768K"}
        files |= {f"{folder.format(core)}/shared_cpu_list": shared}
    assert this_machine(tree(tmp_path, files)).last_level_cache == 2 * 32 * 2**20


def test_identity_is_about_speed_not_about_the_moment(tmp_path: Path) -> None:
    before = this_machine(tmp_path)
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(GB)}
    assert this_machine(tree(tmp_path, files)).identity == before.identity
    tree(tmp_path, {"sys/fs/cgroup/cpu.max": "100000 100000"})
    assert this_machine(tmp_path).identity != before.identity


def test_an_amd_card_is_named(tmp_path: Path) -> None:
    card = "sys/class/drm/card0/device"
    files = {f"{card}/mem_info_vram_total": str(24 * 2**30), f"{card}/product_name": "Radeon"}
    tree(tmp_path, {**files, "sys/class/drm/card1/device/vendor": "0x8086"})
    assert devices.accelerators(tmp_path) == (devices.Accelerator("cuda", "Radeon", 24 * 2**30),)


@pytest.mark.parametrize(
    ("listed", "visible"),
    [
        (None, [True, True]),
        ("", [False, False]),
        ("-1", [False, False]),
        ("1", [False, True]),
        ("1,0", [True, True]),
        ("GPU-aaaa", [True, False]),
    ],
)
def test_hidden_devices_stay_hidden(
    listed: str | None, visible: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    identities = [(0, "GPU-aaaa-1"), (1, "GPU-bbbb-2")]
    assert [devices._visible(identity) for identity in identities] == visible


def test_this_very_machine_without_torch() -> None:
    program = (
        "import sys; from fathom.planning.machine import this_machine; m = this_machine(); "
        "print(m.cores, m.memory_available <= m.memory_limit <= m.memory_total, "
        "'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    cores, ordered, torch = done.stdout.split()
    assert int(cores) >= 1
    assert (ordered, torch) == ("True", "False")


@pytest.mark.parametrize(
    ("wish", "found"),
    [("always [madvise] never", 2 << 20), ("[always] madvise never", 2 << 20), ("[never]", 0)],
)
def test_huge_pages_are_those_that_are_granted(wish: str, found: int, tmp_path: Path) -> None:
    folder = "sys/kernel/mm/transparent_hugepage/"
    files = {f"{folder}enabled": wish, f"{folder}hpage_pmd_size": f"{2 << 20}\n"}
    assert huge_page_bytes(tree(tmp_path, files)) == found
    assert huge_page_bytes(tmp_path / "elsewhere") == 0
