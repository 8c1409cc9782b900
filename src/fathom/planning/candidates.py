"""Models of the catalogue as candidates: what each will take and do on a target machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from fathom.catalog.models import Model, Variant, configuration, models
from fathom.catalog.results import Result, results
from fathom.checkpoint.published import published_spec
from fathom.planning.costs import BYTES
from fathom.planning.deciding import Decision
from fathom.planning.extending import program_prediction, stored_prediction
from fathom.planning.machine import this_machine
from fathom.planning.predict import Prediction
from fathom.planning.target import Target, bytes_per_number
from fathom.spec.model import TextModel as Spec


@dataclass(frozen=True)
class Candidate:
    """One size of a model on one machine.

    Attributes:
        context: tokens that the model takes at most; None if nobody states it.
        memory_bytes: predicted; its weights alone where nothing else is known to be predicted.
        predicted: term by term; None without a configuration, and for what is not text alone.
        results: of this very size, with their grades; what is missing is not inherited.
    """

    model: str
    variant: str
    title: str
    classes: tuple[str, ...]
    hub: str | None
    parameters: int
    active: int
    context: int | None
    licence: str | None
    languages: str | None
    memory_bytes: int
    predicted: Prediction | None
    first_token_seconds: float | None
    results: tuple[Result, ...]

    @property
    def name(self) -> str:
        """What a reader calls it: its repository's name, or else title and size."""
        return self.hub.partition("/")[2] if self.hub else f"{self.title} {self.variant}"

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens written per second, predicted."""
        return None if self.predicted is None else self.predicted.decode_tokens_per_second

    def result(self, test: str) -> Result | None:
        """Return its result on a test."""
        return next((result for result in self.results if result.test == test), None)


# Kinds of input and output that cards and tasks call by one word; of others a class tells enough.
KINDS = frozenset({"text", "image", "audio", "video", "embeddings", "masks"})


def candidates(
    decision: Decision, target: Target, *, stored: str, context: int
) -> Iterator[Candidate]:
    """Yield every size of every model with open weights that does what was decided.

    Those without a known number of parameters cannot be planned and are left out.
    """
    planner = _Planner(target, stored, context, this_machine().device if target.here else None)
    for model in models().values():
        if model.open and not set(decision.classes).isdisjoint(model.words("classes")):
            for variant in model.variants:
                if variant.parameters is not None and _does(model, variant, decision):
                    yield planner.candidate(model, variant, variant.parameters)


def _does(model: Model, variant: Variant, decision: Decision) -> bool:
    """Whether one size of a model takes and gives the kinds that are asked."""
    return KINDS & set(decision.inputs) <= set(model.taken(variant)) and KINDS & set(
        decision.outputs
    ) <= set(model.words("outputs"))


@dataclass
class _Planner:
    """Predicts for one target; models that share a configuration are predicted once."""

    target: Target
    stored: str
    context: int
    device: str | None  # of the machine at hand; None for another
    made: dict[str | None, Prediction] = field(default_factory=dict)

    def candidate(self, model: Model, variant: Variant, parameters: int) -> Candidate:
        spec = _spec(variant.config)
        predicted = None if spec is None else self._predicted(variant.config, spec)
        weights = round(parameters * bytes_per_number(self.stored))
        return Candidate(
            model=model.name,
            variant=variant.name,
            title=model.title,
            classes=model.words("classes"),
            hub=variant.hub,
            parameters=parameters,
            active=variant.active_parameters or parameters,
            context=model.number("context_in") if spec is None else spec.context,
            licence=model.text("licence"),
            languages=model.text("languages"),
            memory_bytes=weights if predicted is None else predicted.total_bytes,
            predicted=predicted,
            first_token_seconds=predicted.seconds_to_first_token(self.context)
            if predicted
            else None,
            results=results().get((model.name, variant.name), ()),
        )

    def _predicted(self, config: str | None, spec: Spec) -> Prediction:
        if config not in self.made:
            self.made[config] = self._of(spec, min(self.context, spec.context))
        return self.made[config]

    def _of(self, spec: Spec, length: int) -> Prediction:
        """Predict the way that opening would take: on this machine, a program if there is one."""
        rates = self.target.rates
        if self.device is None:
            return stored_prediction(spec, self.stored, length, rates)
        found = program_prediction(spec, self.stored, length, rates, self.device)
        if found is not None:
            return found
        read = self.stored in BYTES  # PyTorch's rate of reading packed weights is not measured
        return stored_prediction(spec, self.stored, length, rates if read else None)


@cache
def _spec(config: str | None) -> Spec | None:
    """Return the spec of a text model; None without a configuration, and for any other model."""
    if config is None:
        return None
    spec = published_spec(configuration(config))
    return spec if isinstance(spec, Spec) else None
