"""`fathom` alone: this machine, its measured rates, what is cached, and one command to try."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fathom.catalog.starters import starters
from fathom.checkpoint.sources.locate import Cached, cached
from fathom.checkpoint.storage import cache_folder, free_bytes
from fathom.cli.output import Facts, byte_text, print_facts, print_json, rate_text
from fathom.planning.machine import Machine, this_machine
from fathom.planning.probe import Rates, cached_rates

EXAMPLES = """\
  fathom
  fathom --json
"""
TRY = 'fathom run smollm2:135m "Why is the sky blue?"'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: `fathom` alone has no arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Describe this machine. Measures nothing and fetches nothing."""
    machine, rates, kept = this_machine(), cached_rates(), cached()
    free = free_bytes(cache_folder())
    if args.json:
        print_json(
            {
                "machine": machine,
                "rates": rates,
                "cache": {"path": cache_folder(), "free_bytes": free, "fetched": kept},
                "starters": starters(),
                "try": TRY,
            }
        )
        return 0
    print_facts([*machine_facts(machine), *rate_facts(rates), *cache_facts(kept, free)])
    print(f"\ntry  {TRY}\nhelp fathom --help")
    return 0


def machine_facts(machine: Machine) -> Facts:
    """Return label and value of what the process may use."""
    cores = f"{machine.cores} of {machine.host_cores}"
    if machine.cores == machine.host_cores:
        cores = str(machine.cores)
    memory = f"{byte_text(machine.memory_available)} available of {byte_text(machine.memory_limit)}"
    if machine.memory_limit < machine.memory_total:
        memory += f" (a limit; the host has {byte_text(machine.memory_total)})"
    return [
        ("system", machine.system),
        ("processor", f"{machine.cpu}, {cores} cores"),
        ("instructions", " ".join(machine.instructions) or "none worth naming"),
        ("memory", memory),
        *(
            ("accelerator", f"{device.name}, {byte_text(device.memory)}")
            for device in machine.accelerators
        ),
    ]


def rate_facts(rates: Rates | None) -> Facts:
    """Return label and value of the measured rates."""
    if rates is None:
        return [("measured", "not yet; the first `fathom run` takes a few seconds to do it")]
    weights = ", ".join(
        f"{name} {rate_text(points[-1][-1] / 1e9, 'GB')}" for name, points in rates.matvec.items()
    )
    matmul = ", ".join(
        f"{name} {rate_text(rates.fastest(name) / 1e9, 'GFLOP')}" for name in rates.matmul
    )
    return [
        ("memory read", rate_text(rates.memory_read / 1e9, "GB")),
        ("weights read", f"{weights} (a row times a matrix)"),
        ("arithmetic", f"{matmul} (matrix products)"),
        ("measured", f"{rates.measured_at[:10]}, {rates.threads} threads"),
    ]


def cache_facts(kept: Sequence[Cached], free: int) -> Facts:
    """Return label and value of what was fetched before, and of names to begin with."""
    return [
        ("cache", f"{cache_folder()}, {byte_text(free)} free"),
        *(("cached", f"{entry.origin}, {byte_text(entry.size)}") for entry in kept),
        *([] if kept else [("cached", "nothing yet")]),
        *(
            ("starter", f"{entry.name}, {entry.title}, {byte_text(entry.bytes)}")
            for entry in starters().values()
        ),
    ]
