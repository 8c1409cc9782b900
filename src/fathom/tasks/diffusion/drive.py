"""From a text to a picture: the prompt is read, noise is taken away step by step, latents decoded.

Noise is drawn from one generator on the processor, in the order in which diffusers draws it, so
one seed gives one picture everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from fathom.blocks.pyramid import channels_last
from fathom.blocks.spatial import Prompt, waves
from fathom.errors import RequestError
from fathom.generation.stage_meter import StageMeter
from fathom.inputs.pictures import Pixels
from fathom.inputs.tokenizer import Tokenizer
from fathom.models.diffusion import PictureMaker
from fathom.models.unet import ControlNet, Unet
from fathom.spec.diffusion import FEW_STEPS, USUAL_STEPS
from fathom.spec.diffusion_transformer import DiffusionTransformer
from fathom.spec.unet import Waves
from fathom.spec.work import Work
from fathom.tasks.autoencode import Coder, to_pixels
from fathom.tasks.diffusion.beginnings import Beginning, begin, prepared
from fathom.tasks.diffusion.prompts import Awake, Prompts, Seen, always_awake
from fathom.tasks.diffusion.results import Imagined, Shown, Watch, Wish
from fathom.tasks.diffusion.schedules import Schedule, schedule
from fathom.tasks.diffusion.steps import Memory, enter, step

GUIDANCE_TOLD = 1000.0  # a guidance is told in thousandths
MOST_PIXELS = 1 << 24
SCORE, POOR_SCORE = 6.0, 2.5  # of beauty, by which refiners were trained


@dataclass(frozen=True)
class Conditions:
    """What the denoiser is told at every step; both sides of a guided one, the negative first."""

    states: Tensor
    vector: Tensor | None
    sizes: Tensor | None
    condition: Tensor | None
    guidance: float
    guided: bool


class Maker:
    """Drives a pipeline."""

    def __init__(
        self,
        model: PictureMaker,
        tokenizers: Sequence[Tokenizer],
        dtype: str,
        guide: ControlNet | None = None,
        *,
        device: torch.device,
        awake: Awake = always_awake,
        meter: StageMeter | None = None,
    ) -> None:
        self.meter = meter or StageMeter(device)
        self.model = channels_last(model)
        self.spec = model.spec
        self.tokenizers = tuple(tokenizers)
        self.device = device
        self.awake = awake
        self.coder = Coder(model.autoencoder, self.spec.autoencoder, dtype, device, self.meter)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.guide = guide if guide is not None else model.guide

    @torch.inference_mode()
    def imagine(self, wish: Wish, watch: Watch | None = None) -> Imagined:
        """Return a picture; `watch` is told of every step.

        Raises:
            RequestError: for what makes no sense, or this model does not take.
            PictureError: for a picture, mask or hint that is none.
        """
        wish.check()
        began = perf_counter()
        width, height = self._size(wish)
        prompts = Prompts(self.model, self.tokenizers, self.device, self.awake, self.meter)
        told = self._conditions(wish, prompts, width, height)
        plan = self._schedule(wish, width, height)
        self.meter.work = Work(height=height, width=width, steps=plan.steps, guided=told.guided)
        generator = torch.Generator().manual_seed(wish.seed)
        channels = self.spec.denoiser.channels
        with self.awake(*(() if wish.picture is None else ("autoencoder",))):
            start = begin(self.coder, wish, plan, (width, height), generator, channels)
        hint = self._hint(wish, width, height)
        with self.awake(*self.spec.at_each_step):
            latents, evaluations = self._denoise(plan, start, told, hint, generator, watch, wish)
        pixels = self._picture(latents)
        return Imagined(
            pixels=pixels,
            prompt=wish.prompt,
            seed=wish.seed,
            steps=plan.steps - start.first,
            guidance=told.guidance,
            evaluations=evaluations,
            seconds=perf_counter() - began,
            notes=(*prompts.notes, *start.notes),
        )

    def _size(self, wish: Wish) -> tuple[int, int]:
        """Return width and height: those asked for, or the picture's, or the usual."""
        factor = self.spec.autoencoder.factor
        if isinstance(self.spec.denoiser, DiffusionTransformer):
            factor *= self.spec.denoiser.patch
        width, height = wish.size or (self.spec.side, self.spec.side)
        if wish.size is None and wish.picture is not None:
            width, height = prepared(wish.picture, None, factor).size
        self._require_positions(max(width, height), factor)
        if min(width, height) < factor or width % factor or height % factor:
            raise RequestError(
                f"a size of {width} × {height} is not possible: this model makes pictures whose"
                f" sides are multiples of {factor}"
            )
        if width * height > MOST_PIXELS:
            raise RequestError(f"a size of {width} × {height} is more than {MOST_PIXELS:,} pixels")
        return width, height

    def _require_positions(self, side: int, factor: int) -> None:
        """Refuse a picture that is wider than a table of positions."""
        denoiser = self.spec.denoiser
        if isinstance(denoiser, DiffusionTransformer) and side > factor * denoiser.grid:
            raise RequestError(
                f"a side of {side:,} pixels: this model knows places up to"
                f" {factor * denoiser.grid:,}; take a smaller size"
            )

    def _schedule(self, wish: Wish, width: int, height: int) -> Schedule:
        usual = FEW_STEPS if self.spec.consistent else USUAL_STEPS
        steps = usual if wish.steps is None else wish.steps
        tokens = 0
        if isinstance(self.spec.denoiser, DiffusionTransformer):
            side = self.spec.autoencoder.factor * self.spec.denoiser.patch
            tokens = (width // side) * (height // side)
        return schedule(self.spec.sampler, steps, tokens=tokens)

    def _conditions(self, wish: Wish, prompts: Prompts, width: int, height: int) -> Conditions:
        taught = None
        if isinstance(self.model.denoiser, Unet):
            taught = self.model.denoiser.spec.descent.time.condition
        guidance = self._guidance(taught) if wish.guidance is None else wish.guidance
        guided = guidance > 1 and taught is None
        sides = self._sides(wish, prompts, guided=guided)
        condition = None
        if taught is not None:
            strength = torch.tensor([GUIDANCE_TOLD * (guidance - 1)])
            condition = waves(strength, Waves(taught, sines_first=True, shift=1))
        vectors = [side.vector for side in sides if side.vector is not None]
        return Conditions(
            torch.cat([side.states for side in sides]).to(self.dtype),
            torch.cat(vectors) if vectors else None,
            self._sizes(width, height, guided),
            None if condition is None else condition.to(self.dtype),
            guidance,
            guided,
        )

    def _guidance(self, taught: int | None) -> float:
        """Return how strongly a model of this kind usually follows the text."""
        if taught is not None:
            return 8.5
        if self.spec.consistent:
            return 1.0
        if isinstance(self.spec.denoiser, DiffusionTransformer):
            return 7.0
        return 7.5 if self.spec.denoiser.descent.told is None else 5.0

    def _sides(self, wish: Wish, prompts: Prompts, *, guided: bool) -> list[Seen]:
        """Return the prompt as it is seen, after what is to be kept away from where that guides."""
        if guided and not (wish.negative is None and self.spec.blank_is_zero):
            seen, negative = prompts.see(wish.prompt, wish.negative or "")
            return [negative, seen]
        [seen] = prompts.see(wish.prompt)
        return [seen.zeros(), seen] if guided else [seen]

    def _sizes(self, width: int, height: int, guided: bool) -> Tensor | None:
        """Return the sizes that a denoiser is told: of the original, the crop, the picture."""
        denoiser = self.spec.denoiser
        if isinstance(denoiser, DiffusionTransformer) or denoiser.descent.told is None:
            return None
        original = (float(height), float(width), 0.0, 0.0)
        if denoiser.descent.told.sizes == 6:
            sides = [(*original, float(height), float(width))] * (2 if guided else 1)
        else:
            scores = (POOR_SCORE, SCORE) if guided else (SCORE,)
            sides = [(*original, score) for score in scores]  # type: ignore[misc]
        return torch.tensor(sides, device=self.device)

    def _hint(self, wish: Wish, width: int, height: int) -> Tensor | None:
        if wish.hint is None:
            if self.guide is not None:
                raise RequestError("this pipeline is steered by a picture; give it as the hint")
            return None
        if self.guide is None:
            raise RequestError(
                "nothing here is steered by a hint: open a pipeline with a ControlNet, or give one"
            )
        planes = prepared(wish.hint, (width, height), 1).planes / 2 + 0.5
        return planes.to(self.device, self.dtype)

    def _denoise(
        self,
        plan: Schedule,
        start: Beginning,
        told: Conditions,
        hint: Tensor | None,
        generator: torch.Generator,
        watch: Watch | None,
        wish: Wish,
    ) -> tuple[Tensor, int]:
        """Return latents without noise, and how often the denoiser was asked."""
        prompt = Prompt(told.states)
        guide_prompt = Prompt(told.states)
        planes, memory = start.latents, Memory()

        def draw() -> Tensor:
            noise = torch.randn(planes.shape, generator=generator, dtype=self.dtype)
            return noise.to(planes.device)

        sides = 2 if told.guided else 1
        for index in range(start.first, plan.steps):
            entered = start.beside(enter(plan, index, planes))
            moments = plan.timesteps[index].expand(sides).to(planes.device)
            entered = entered.repeat(sides, 1, 1, 1)
            with self.meter.stage("denoiser"):
                steered = (hint, guide_prompt, wish)
                output = self._predict(entered, moments, told, prompt, steered)
            if told.guided:
                away, towards = output.chunk(2)
                output = away + told.guidance * (towards - away)
            taken = step(plan, index, planes, output, memory, draw)
            planes, memory = start.kept(plan, index + 1, taken.planes), taken.memory
            if watch is not None:
                expected = taken.picture.to(self.dtype)
                done = index + 1 - start.first
                watch(Shown(done, plan.steps - start.first, lambda x=expected: self._picture(x)))  # type: ignore[misc]
        return planes, sides * (plan.steps - start.first)

    def _predict(
        self,
        planes: Tensor,
        moments: Tensor,
        told: Conditions,
        prompt: Prompt,
        steered: tuple[Tensor | None, Prompt, Wish],
    ) -> Tensor:
        planes = planes.to(self.dtype)
        if isinstance(self.model.denoiser, Unet):
            hint, guide_prompt, wish = steered
            steering = None
            if hint is not None and self.guide is not None:
                with self.meter.stage("guide"):
                    steering = self.guide(
                        planes,
                        moments,
                        guide_prompt,
                        hint.repeat(len(planes), 1, 1, 1),
                        scale=wish.steering,
                        vector=told.vector,
                        sizes=told.sizes,
                    )
            return self.model.denoiser(
                planes,
                moments,
                prompt,
                vector=told.vector,
                sizes=told.sizes,
                condition=told.condition,
                steering=steering,
            )
        if told.vector is None:
            raise RequestError(
                "this denoiser needs the vector of a text, and no encoder gives one; take the whole"
                " pipeline from where it was published"
            )
        return self.model.denoiser(planes, moments, told.states, vector=told.vector)

    def _picture(self, latents: Tensor) -> Pixels:
        """Return the picture of latents as the denoiser has them."""
        with self.awake("autoencoder"):
            return to_pixels(self.coder.decode(self.model.autoencoder.from_denoiser(latents)))[0]
