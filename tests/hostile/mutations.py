"""Checks that are taken away one by one, and the cases that must then fail.

Each line names a check as ``module:name``, which is made to answer nothing in the attempt's
process. A case that passes all the same would not have tested its check.

    python tests/hostile/mutations.py        # print the table that docs/security.md holds
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from hostile.case import Case, Verdict
from hostile.runner import Runner, faults
from hostile.tables import CASES


@dataclass(frozen=True)
class Mutation:
    """A check that is taken away.

    Attributes:
        case: by name, what must then end otherwise.
        door: where it is tried.
        answer: what the check says instead of checking.
    """

    case: str
    door: str
    answer: bool | None = None


MUTATIONS: dict[str, Mutation] = {
    "checkpoint.safetensors:_check_layout": Mutation("ST-12 one byte", "headers"),
    "checkpoint.safetensors:check_name": Mutation("ST-38 long name", "headers"),
    "checkpoint.documents:_check_depth": Mutation("CF-17 one level too deep", "document"),
    "checkpoint.documents:_check_surrogates": Mutation("ST-43 surrogate", "headers"),
    "checkpoint.limits:Limit.check": Mutation("ST-32 rank", "headers"),
    "checkpoint.stored:is_settled": Mutation(
        "ST-44 shortened under a running model", "shortened", answer=True
    ),
    "checkpoint.gguf:_check_offset": Mutation("GG-38 offset wraps", "headers"),
    "checkpoint.gguf:_check_end": Mutation("GG-42 trailing", "headers"),
    "checkpoint.index:check_inside": Mutation("CF-10 a link out of the folder", "headers"),
    "checkpoint.index:_check_shard_name": Mutation("CF-09 a pickle among the shards", "headers"),
    "checkpoint.index:_check_folder": Mutation("CF-11 a shard too many", "headers"),
    "checkpoint.description:_require_agreement": Mutation("CF-14 another inner width", "open"),
    "checkpoint.configuration:_check_type": Mutation("CF-27 a pattern as a name", "inspect"),
    "checkpoint.pickles:check_archive": Mutation("PK-22 parent", "unpickle"),
    "checkpoint.pickles:_check_members": Mutation("PK-22 parent", "unpickle"),
    "checkpoint.unpickling:_Machine.find_class": Mutation("PK-02 posix.system", "unpickle"),
    "checkpoint.adapter_config:_refuse_code": Mutation("AD-01 a library to import", "adapter"),
    "inputs.folder:require_sound": Mutation("TK-08 two tokens with one id", "tokenizer"),
    "inputs.sentencepiece:_check": Mutation("TK-16 offsets beyond the texts", "tokenizer"),
    "inputs.chat:_bounded_source": Mutation("JJ-24 too large", "render"),
}
BY_NAME = {case.name: case for case in CASES}


def tried(check: str, runner: Runner, folder: Path, *, removed: bool) -> tuple[Verdict, list[str]]:
    """How a mutation's case ends with or without its check, and what is then not as promised."""
    mutation = MUTATIONS[check]
    case: Case = BY_NAME[mutation.case]
    without = {f"fathom.{check}": mutation.answer} if removed else {}
    folder.mkdir()
    verdict = runner.attempt(case, mutation.door, case.build(folder), without=without)
    return verdict, faults(verdict, case, sys.maxsize)


def rows(runner: Runner, folder: Path) -> list[str]:
    """The table of the document: each check, its case, and how that ends without it."""
    found = ["| check | case | with it | without it |", "|---|---|---|---|"]
    for number, (check, mutation) in enumerate(MUTATIONS.items()):
        cells = []
        for removed in (False, True):
            place = folder / f"mutation-{number}-{removed}"
            verdict, complaints = tried(check, runner, place, removed=removed)
            noticed = bool(complaints) == removed
            told = verdict.code or (verdict.message if verdict.ending != "accepted" else "")
            ending = f"{verdict.ending} {told}".strip().partition(":")[0]
            cells.append(ending if noticed else f"**{ending}**")
        found.append(f"| `{check}` | {mutation.case} | {cells[0]} | {cells[1]} |")
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, Runner(Path(place) / "runner") as running:
        sys.stdout.write("\n".join(rows(running, Path(place))) + "\n")
