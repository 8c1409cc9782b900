"""The dialect of docs/adding-a-dialect.md, brought by a package of its own: it opens and runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-dialect.md"
CONFIG = {
    "model_type": "lantern",
    "vocab_size": 61,
    "hidden_size": 24,
    "inner_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
}
TOKENS = [[5, 9, 60, 0, 17, 33, 2, 2, 41], [1, 8, 8, 30, 59, 12, 7, 44, 3]]


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the page that are in one language, in order."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the page's package into a folder, as pip would."""
    folder = tmp_path_factory.mktemp("site")
    _, ours = blocks("python")
    (folder / "lantern_fathom.py").write_text(ours, encoding="utf-8")
    points = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    lines = [
        f"[{g}]\n" + "".join(f"{n} = {at}\n" for n, at in p.items()) for g, p in points.items()
    ]
    info = folder / "lantern_fathom-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lantern-fathom\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """The publisher's model, as the page gives it."""
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)  # the page's own code is the reference
    torch.manual_seed(11)
    model = names["Lantern"](CONFIG)  # type: ignore[operator]
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(reference: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lantern")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_file(reference.state_dict(), folder / "model.safetensors")
    return folder


def run(program: str, package: Path | None) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter that has the package, or not."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if package is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(package), os.environ.get("PYTHONPATH")))
        )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_a_package_brings_a_dialect_that_opens_and_runs(
    package: Path, checkpoint: Path, reference: torch.nn.Module, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    done = run(
        "import fathom, torch\n"
        f"model = fathom.open({str(checkpoint)!r}, dtype='float32', device='cpu')\n"
        f"torch.save(model.logits({TOKENS}), {str(tmp_path / 'logits.pt')!r})\n"
        f"model.save({str(saved)!r})\n"
        "print(model.card.architecture, model.card.parameters)",
        package,
    )
    assert done.returncode == 0, done.stderr
    numbers = sum(tensor.numel() for tensor in reference.state_dict().values())
    assert done.stdout.split() == ["lantern", str(numbers)]
    ours = torch.load(tmp_path / "logits.pt", weights_only=True)
    with torch.inference_mode():
        theirs = reference(torch.tensor(TOKENS))
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
    before, after = (load_file(at / "model.safetensors") for at in (checkpoint, saved))
    assert set(before) == set(after)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_it_is_explained_like_any_other(package: Path, checkpoint: Path) -> None:
    command = "import sys; from fathom.cli.main import main; sys.exit(main({!r}))"
    done = run(command.format(["explain", str(checkpoint), "--names"]), package)
    assert done.returncode == 0, done.stderr
    assert "lantern_fathom.py:" in done.stdout
    assert "relu_squared, 24 → 40 → 24" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["layers.0.feed_forward.up.weight", "blocks.0.grow.weight"] in rows


def test_without_the_package_the_architecture_is_unknown(checkpoint: Path) -> None:
    command = "import sys; from fathom.cli.main import main; sys.exit(main({!r}))"
    done = run(command.format(["explain", str(checkpoint)]), None)
    assert done.returncode == 2
    assert "no dialect for the architecture 'lantern'" in done.stderr


def test_the_dialect_is_short() -> None:
    _, ours = blocks("python")
    assert len(ours.splitlines()) < 100
