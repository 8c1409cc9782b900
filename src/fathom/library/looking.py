"""Models that see, and their tasks: features, labels, likeness."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fathom.errors import RequestError, UnsupportedTaskError
from fathom.library.cards import read_tokenizer
from fathom.library.processors import read_picture_processor
from fathom.library.staged import StagedModel, task
from fathom.spec.vision import PictureEncoder, PictureText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fathom.generation.labelling import Label
    from fathom.inputs.pictures import Source
    from fathom.inputs.tokenizer import Tokenizer
    from fathom.tasks.looking import Classifier, Comparer, Features, Looker


class PictureModel(StagedModel):
    """A tower that sees, alone or under a head. Made by `open`."""

    spec: PictureEncoder

    @task
    def features(self, picture: Source) -> Features:
        """Return what the tower makes of a picture: a vector of it, and one of each patch.

        Raises:
            PictureError: for what is no sound picture.
            NotFoundError: when nothing beside the weights says how pictures are prepared.
        """
        return self._looker.features(picture)

    @task
    def compare(self, pictures: Sequence[Source], others: Sequence[Source]) -> NDArray[np.float32]:
        """Return how alike pictures are to others: cosines, (pictures, others).

        Raises:
            RequestError: for no pictures.
            PictureError, NotFoundError: as `features`.
        """
        from fathom.tasks.looking import likeness

        return likeness(self._looker.vectors(pictures), self._looker.vectors(others))

    @task
    def classify(self, picture: Source) -> list[Label]:
        """Return every label of the model with its score for a picture, best first.

        Raises:
            UnsupportedTaskError: for a tower without a head.
            PictureError, NotFoundError: as `features`.
        """
        if not self.spec.labels:
            raise UnsupportedTaskError(
                "this tower has no labels; it can features, compare. A model of two towers, such as"
                " CLIP, takes any labels"
            )
        return self._classifier.classify(picture)

    @cached_property
    def _looker(self) -> Looker:
        from fathom.tasks.looking import Looker

        sight = self._module.get_submodule("sight")
        return Looker(
            sight, self.spec.sight, read_picture_processor(self._description), self._meter
        )

    @cached_property
    def _classifier(self) -> Classifier:
        from fathom.tasks.looking import Classifier

        return Classifier(self._module, self._looker)  # type: ignore[arg-type]  # by its kind


class PictureTextModel(StagedModel):
    """A tower that sees and one that reads. Made by `open`."""

    spec: PictureText

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's own tokenizer.

        Raises:
            TokenizerError: when there is none, or it is broken.
        """
        return read_tokenizer(self._description)

    @task
    def features(self, picture: Source) -> Features:
        """Return what the tower makes of a picture; errors as `PictureModel.features`."""
        return self._comparer.looker.features(picture)

    @task
    def classify(
        self, picture: Source, labels: Sequence[str], *, template: str | None = None
    ) -> list[Label]:
        """Return labels that are given with their scores for a picture, best first.

        Where one label of several fits, scores add up to one; where the model was trained to judge
        each by itself, they do not.

        Args:
            labels: words, which are put into the `template` at its {}.
            template: such as "This is a photo of {}.", which is the default.

        Raises:
            RequestError: for no labels, one twice, or a template without its place.
            ContextLengthError: for a label that is too long; nothing is cut off.
            PictureError, NotFoundError: as `features`.
        """
        from fathom.tasks.looking import TEMPLATE

        chosen = TEMPLATE if template is None else template
        return self._comparer.classify(picture, labels, chosen)

    @task
    def compare(
        self,
        pictures: Sequence[Source],
        others: Sequence[Source] = (),
        *,
        texts: Sequence[str] = (),
    ) -> NDArray[np.float32]:
        """Return how alike pictures are to others, or to texts: cosines, (pictures, others).

        Raises:
            RequestError: for no pictures, or neither or both of others and texts.
            ContextLengthError: for a text that is too long.
            PictureError, NotFoundError: as `features`.
        """
        from fathom.tasks.looking import likeness

        if bool(others) == bool(texts):
            raise RequestError("give either other pictures to compare with, or texts")
        comparer = self._comparer
        found = comparer.texts(texts) if texts else comparer.looker.vectors(others)
        return likeness(comparer.looker.vectors(pictures), found)

    @cached_property
    def _comparer(self) -> Comparer:
        from fathom.tasks.looking import Comparer, Looker

        sight = self._module.get_submodule("vision")
        how = read_picture_processor(self._description)
        looker = Looker(sight, self.spec.vision, how, self._meter)
        return Comparer(self._module, looker, self.tokenizer)  # type: ignore[arg-type]
