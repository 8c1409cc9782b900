"""A model that works in stages explained: what it is made of, what each stage costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fathom.checkpoint.description import Description
from fathom.planning import costs
from fathom.planning.asking import dtype_of, prompt_notes, refuse_text_options, require_work
from fathom.planning.costs import BYTES, computed_in
from fathom.planning.explanation import Named, RoleCount, count_roles, names_of
from fathom.planning.machine import this_machine
from fathom.planning.running_code import Code, running_code, translating_code
from fathom.planning.stages import settled
from fathom.planning.whole_layers import as_run, whole_parts
from fathom.spec.diffusion import FEW_STEPS, USUAL_STEPS, PictureMaker
from fathom.spec.outline import show
from fathom.spec.parts import children, count
from fathom.spec.work import Stage, Staged, Work


@dataclass(frozen=True)
class Component:
    """A part that may lie in memory by itself."""

    path: str
    parameters: int
    weight_bytes: int


@dataclass(frozen=True)
class StageCost:
    """What one pass of a stage costs; `weight_bytes` are those that it passes.

    `live_bytes` are held at its largest moment beside the weights, `kept_bytes` until the answer
    is there.
    """

    name: str
    passes: int
    operations: int
    weight_bytes: int
    live_bytes: int
    kept_bytes: int


@dataclass(frozen=True)
class StagedExplanation:
    """A reader's page about one model. `outline` is the spec in text, as it prints."""

    name: str
    architecture: str
    model_class: str
    rule: str  # what decided the class
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tasks: tuple[str, ...]
    work: Work  # for which costs are counted
    weights: str  # the type in which everything is counted
    parameters: int
    outline: str
    components: tuple[Component, ...]
    stages: tuple[StageCost, ...]
    roles: tuple[RoleCount, ...]
    code: tuple[Code, ...]
    names: tuple[Named, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def operations(self) -> int:
        """Operations of the whole work, all passes of all stages."""
        return sum(stage.passes * stage.operations for stage in self.stages)


def explain_stages(
    description: Description,
    spec: Staged,
    *,
    name: str = "",
    dtype: str | None = None,
    context: int | None = None,
    names: bool = False,
    work: Work | None = None,
) -> StagedExplanation:
    """Return the page about a checkpoint that works in stages.

    Args:
        description: the checkpoint, and `spec`, what it describes.
        name: what the reader calls it.
        dtype: the type that everything is counted in; by default as the checkpoint says.
        context: of text models only.
        names: also list the publisher's names beside ours.
        work: what is asked for; what it leaves open is as usual.

    Raises:
        RequestError: for an unknown type, for a context, and for work that the model does not do.
        TensorMismatchError: with `names`, for a parameter that no rule names.
    """
    refuse_text_options(spec, context=context)
    asked = work or Work()
    require_work(spec, asked)
    settled_work = settled(asked, spec.usual)
    counted, notes = dtype_of(description, dtype)
    storage, about = computed_in(counted), spec.about
    running = as_run(spec, device=this_machine().device, dtype=counted)
    return StagedExplanation(
        name=name or str(description.path),
        architecture=description.dialect.name,
        model_class=about.model_class,
        rule=about.rule,
        inputs=about.inputs,
        outputs=about.outputs,
        tasks=about.tasks,
        work=settled_work,
        weights=counted,
        parameters=count(spec),
        outline=show(spec),
        components=tuple(
            Component(path, count(part), costs.weight_bytes(part, storage, path))
            for path, part in children(spec)
        ),
        stages=tuple(_cost(stage, counted) for stage in running.stages(settled_work)),
        roles=count_roles(spec),
        code=(
            translating_code(description.dialect.read, description.dialect.name),
            *running_code(spec),
        ),
        names=tuple(names_of(description, spec)) if names else (),
        notes=(
            *notes,
            *prompt_notes(spec, settled_work),
            *_evaluations(spec, settled_work),
            *_kernels(running, counted),
        ),
    )


def _kernels(running: Staged, dtype: str) -> tuple[str, ...]:
    """Return on which kernels layers run here, where that is not as PyTorch's modules."""
    whole = sum(1 for _ in whole_parts(running))
    if not whole:
        return ()
    layers = "1 layer runs" if whole == 1 else f"{whole} layers run"
    return (f"here {layers} whole in {dtype}, each a call of the native kernels",)


def _evaluations(spec: Staged, work: Work) -> tuple[str, ...]:
    """Return how often a picture's denoiser is asked, beside what the other kind of model needs."""
    if not isinstance(spec, PictureMaker):
        return ()
    few = replace(work, steps=FEW_STEPS, guided=False)
    many = replace(work, steps=USUAL_STEPS, guided=True)
    other = many if spec.consistent else few
    kind = "guided diffusion" if spec.consistent else "a consistency model (LCM) of these sizes"
    ratio = _denoising(spec, other) / _denoising(spec, work)
    return (
        f"the denoiser is asked {_asked(work)} times; {kind} asks it {_asked(other)} times,"
        f" {ratio:.3g} times the operations",
    )


def _denoising(spec: PictureMaker, work: Work) -> int:
    """Return the operations of all steps of some work."""
    stages = {stage.name: stage for stage in spec.stages(work)}
    return sum(stages[name].operations * stages[name].passes for name in spec.at_each_step)


def _asked(work: Work) -> str:
    steps = work.steps or 0
    return f"{2 * steps:,} (2 × {steps:,})" if work.guided else f"{steps:,}"


def _cost(stage: Stage, dtype: str) -> StageCost:
    number = BYTES[dtype]
    return StageCost(
        stage.name,
        stage.passes,
        stage.operations,
        costs.weight_bytes(stage.part, computed_in(dtype)),
        number * stage.live,
        number * stage.kept,
    )
