"""A model that makes pictures, and its task."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypedDict, Unpack

from fathom.checkpoint.storage import cache_folder
from fathom.errors import RequestError
from fathom.library.model import Model
from fathom.library.staged import StagedModel, task
from fathom.planning.stages import StagedPrediction, in_turns
from fathom.spec.diffusion import PictureMaker
from fathom.spec.parts import children
from fathom.spec.unet import ControlNet, Unet
from fathom.spec.work import Work

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from fathom.inputs.pictures import Source
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.residency.resting import Resting
    from fathom.tasks.diffusion.drive import Maker
    from fathom.tasks.diffusion.results import Imagined, Watch


class Wishes(TypedDict, total=False):
    """What may be said beside the prompt; `tasks.diffusion.results.Wish` says what it means."""

    negative: str | None
    steps: int | None
    guidance: float | None
    seed: int
    size: tuple[int, int] | None
    picture: Source | None
    strength: float
    mask: Source | None
    hint: Source | None
    steering: float


class PictureMakerModel(StagedModel):
    """A pipeline that makes pictures of texts. Made by `open`."""

    spec: PictureMaker
    _guide: Model | None = None
    _resting: Resting | None = None

    @task
    def imagine(
        self, prompt: str, *, progress: Watch | None = None, **wishes: Unpack[Wishes]
    ) -> Imagined:
        """Return a picture that fits a text.

        Args:
            prompt: what the picture shall show.
            progress: is told of every step, and may look at the picture expected then.
            wishes: negative, steps, guidance, seed, size, picture, strength, mask, hint and
                steering, as `tasks.diffusion.results.Wish` says.

        Raises:
            RequestError: for what makes no sense, or this model does not take.
            PictureError: for a picture, mask or hint that is none.
        """
        from fathom.tasks.diffusion.results import Wish

        return self._maker.imagine(Wish(prompt, **wishes), progress)

    def rest_by(self, resting: Resting) -> None:
        """Have components in memory only while they work. Said by `open`, before any task."""
        self._resting = resting

    @property
    def rests(self) -> bool:
        """Whether components are in memory only while they work."""
        return self._resting is not None

    @property
    def device(self) -> torch.device:
        return super().device if self._resting is None else self._resting.device

    def fit(self, work: Work | None = None) -> StagedPrediction:
        found = super().fit(work)
        return found if self._resting is None else in_turns(found, self.spec)

    def save(self, folder: str | Path) -> None:
        """Write the pipeline as its publisher's own tools open it.

        Raises:
            RequestError: when the folder exists already.
        """
        if self._resting is None:
            super().save(folder)
            return
        with self._resting.awake(*(name for name, _ in children(self.spec))):
            super().save(folder)

    def steer_by(self, guide: Model) -> None:
        """Steer this model by a ControlNet that was opened, which pictures say how (`hint`).

        Raises:
            RequestError: for another kind of model, or one that does not fit.
        """
        if not isinstance(guide.spec, ControlNet):
            raise RequestError("only a ControlNet steers a model that makes pictures")
        denoiser = self.spec.denoiser
        if not isinstance(denoiser, Unet) or guide.spec.descent.left != denoiser.descent.left:
            raise RequestError(
                "this ControlNet is made for a denoiser of other sizes; take one for this pipeline"
            )
        self._guide = guide
        self.__dict__.pop("_maker", None)

    def put_adapter_on(self, name: str, *, scale: float = 1.0) -> int:
        """Add a LoRA's changes to the weights, times `scale`; return how many weights it changed.

        `name` is a file or folder, or a hub id; the spellings of diffusers, PEFT and kohya's
        scripts are understood. It stays on: open the model again to be without it.

        Raises:
            TensorMismatchError: for one that was made for another model.
            NotFoundError, FetchError, ModelFileError: as `open`.
            RequestError: when components rest, and would be read again without the changes.
        """
        if self._resting is not None:
            raise RequestError(
                "an adapter's changes would be gone after a component's rest; open the pipeline"
                " with resting=False (no --resting)"
            )
        from fathom.library.describing import locate
        from fathom.residency.picture_adapters import put_on

        return put_on(self._module, self._description, locate(name).path, scale)

    @cached_property
    def tokenizers(self) -> tuple[Tokenizer, ...]:
        """The tokenizers of its text encoders, in their order."""
        from fathom.inputs.tokenizer import Tokenizer

        folder, records = self._description.folder, cache_folder() / "tokenizers"
        names = ["tokenizer" + f"_{r.place}" * (r.place > 1) for r in self.spec.readers]
        return tuple(Tokenizer.from_folder(folder / name, records) for name in names)

    @cached_property
    def _maker(self) -> Maker:
        from fathom.tasks.diffusion.drive import Maker
        from fathom.tasks.diffusion.prompts import always_awake

        guide = None if self._guide is None else self._guide.module
        return Maker(
            self._module,  # type: ignore[arg-type]
            self.tokenizers,
            self.dtype,
            guide,  # type: ignore[arg-type]
            device=self.device,
            awake=always_awake if self._resting is None else self._resting.awake,
            meter=self._meter,
        )
