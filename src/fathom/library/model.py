"""A model in memory, of whatever class: its facts, its place, its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.checkpoint.description import Description
from fathom.errors import UnsupportedTaskError
from fathom.planning.records import Subject, subject
from fathom.spec.card import Card
from fathom.spec.classes import model_class
from fathom.spec.model import Model as Spec
from fathom.spec.tasks import TASKS

if TYPE_CHECKING:
    import torch

    from fathom.ops.program import Program
    from fathom.ops.program_pair import ProgramPair


class Model:
    """A model in memory. Made by `open`, as the class that can do what its kind of spec is for.

    Asked for a task that its class cannot do, it says so (`UnsupportedTaskError`).

    Attributes:
        card: the facts about it.
        spec: the description that it runs by.
        dtype: the type it computes in, where it runs as modules.
        program: the native program that it writes with, or a pair that reads and writes; its
            weights are packed in memory.
        why_modules: why it has none, and runs as modules of PyTorch.
        load_seconds: how long opening took.
        unpacked: brings the weights into modules once more, all of them plain; None where the
            module holds them so already.
    """

    unpacked: Callable[[], torch.nn.Module] | None = None

    def __init__(
        self,
        card: Card,
        spec: Spec,
        description: Description,
        load: Callable[[], torch.nn.Module],
        dtype: str,
        program: Program | ProgramPair | None = None,
        why_modules: str = "",
    ) -> None:
        """Take what `open` found; `load` brings the weights into modules when they are needed."""
        self.card = card
        self.spec = spec
        self.dtype = dtype
        self.program = program
        self.why_modules = why_modules
        self.load_seconds = 0.0
        self._description = description
        self._load = load

    def __repr__(self) -> str:
        return f"<Model {self.card.name}: {self.card.architecture}, {self.dtype}>"

    def __getattr__(self, name: str) -> Any:
        if name in TASKS:
            decided, rule = model_class(self.spec)
            raise UnsupportedTaskError(
                f"this model cannot {name}: its class is {decided} ({rule}), and it can"
                f" {', '.join(self.tasks)}; `fathom choose --task {name}` names models that can"
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute {name!r}")

    @property
    def module(self) -> torch.nn.Module:
        """The PyTorch module; its parameter names are paths in the spec.

        A model that writes with a native program loads it at the first task that needs it.
        """
        return self._module

    @property
    def loaded(self) -> torch.nn.Module:
        """What of it lies in modules, where it runs in stages."""
        return self._module

    @cached_property
    def _module(self) -> torch.nn.Module:
        return self._load()

    def plain_module(self) -> torch.nn.Module:
        """Return the module with every weight a parameter, loaded anew where some are packed."""
        return self._module if self.unpacked is None else self.unpacked()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked for, by the names of `spec.tasks.TASKS`; the likeliest first."""
        raise NotImplementedError(type(self).__name__)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        import torch

        if self.program is not None:
            return torch.device("cpu")
        return next(self._module.parameters()).device

    @property
    def device_type(self) -> str:
        """The kind of device: "cpu" or "cuda"; known without torch where that is not needed."""
        return "cpu" if self.program is not None else self.device.type

    @property
    def kernels(self) -> str:
        """What text is written with, and why nothing faster is."""
        if self.program is None:
            return f"PyTorch modules in {self.dtype}, because {self.why_modules}"
        from fathom.planning.kernels import kernels

        name, reason = kernels()
        return f"native program, {name} kernels" + (f", because {reason}" if reason else "")

    @cached_property
    def subject(self) -> Subject:
        """What measurements of it are filed under."""
        return subject(self.card.name, self._description)

    def save(self, folder: str | Path) -> None:
        """Write the model as a safetensors folder that its publisher's own tools open.

        Raises:
            RequestError: when the folder exists already.
        """
        from fathom.checkpoint.saving import save

        parameters = dict(self.plain_module().named_parameters())
        save(self._description, parameters, Path(folder), self._extra_files())

    def _extra_files(self) -> dict[str, str]:
        """Return what must lie beside the weights and is not a file of the checkpoint's folder."""
        return {}

    @property
    def _config(self) -> Mapping[str, object]:
        return self._description.config
