"""What a model in memory does with its adapter: a mixin, so that this is a method of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fathom.checkpoint.adapters import Adapter
from fathom.checkpoint.description import Description
from fathom.checkpoint.fitting import untied, untied_description
from fathom.errors import RequestError
from fathom.planning.predict import Prediction
from fathom.spec.card import Card
from fathom.spec.model import TextModel as Spec

if TYPE_CHECKING:
    from torch import nn


class Adapting:
    """Puts an adapter on and merges it.

    Attributes:
        adapter: the LoRA adapter that was put on, merged or not; None without one.
    """

    card: Card
    spec: Spec
    adapter: Adapter | None = None
    _adapter_bytes = 0  # of memory beside the weights; none once it is merged
    _description: Description
    _module: nn.Module

    def merge_adapter(self) -> None:
        """Fold the adapter into the weights: the same answers, at the speed of the base alone.

        Raises:
            RequestError: when there is none, or it is merged already.
        """
        from fathom.residency.adapters import merge

        if not self._adapter_bytes:
            raise RequestError("no adapter is on this model to be merged; open it with one")
        if merge(self._module, self._description.text):
            self._untie()
        self._adapter_bytes = 0
        vars(self).pop("_engine", None)  # with what it kept of the last answer
        self._note("the adapter is merged")

    def put_adapter_on(self, adapter: Adapter) -> None:
        """Put an adapter on; `library.open` does it, before the first answer.

        Raises:
            TensorMismatchError: where it does not fit the model.
            ModelFileError: for numbers that are not finite.
        """
        from fathom.checkpoint.tensors import Reader
        from fathom.residency.adapters import put_on

        with Reader(adapter.contents) as reader:
            applied = put_on(self._module, self._description, adapter, reader)
        if applied.untied:
            self._untie()
        self.adapter, self._adapter_bytes = adapter, applied.bytes
        if applied.folded:
            self._note(f"of it, {len(applied.folded)} weights are merged, as experts have to be")

    def with_adapter(self, prediction: Prediction) -> Prediction:
        """Return a prediction that counts the adapter's own memory."""
        if not self._adapter_bytes:
            return prediction
        return replace(prediction, terms={**prediction.terms, "adapter": self._adapter_bytes})

    def require_merged(self) -> None:
        """Raise RequestError where the weights alone are not what the model computes."""
        if self._adapter_bytes:
            raise RequestError(
                "an adapter is on this model beside its weights; call merge_adapter(), then save"
            )

    def _untie(self) -> None:
        """Take note that the output no longer reads the embedding's table."""
        self.spec = untied(self.spec)
        self._description = untied_description(self._description)

    def _note(self, note: str) -> None:
        self.card = replace(self.card, notes=(*self.card.notes, note))
