"""How a checkpoint's publisher prepares pictures, read from the files beside its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fathom.checkpoint.description import Description
from fathom.checkpoint.documents import read_json
from fathom.errors import NotFoundError

if TYPE_CHECKING:
    from fathom.inputs.picture_processing import PictureProcessor

FILES = ("preprocessor_config.json", "processor_config.json")


def read_picture_processor(description: Description) -> PictureProcessor:
    """Return the processor of pictures that lies beside a checkpoint.

    Raises:
        NotFoundError: when there is none.
        ModelFileError, ConfigError: for one that cannot be understood.
    """
    from fathom.inputs.picture_processing import read_processor

    for name in FILES:
        if (description.folder / name).is_file():
            return read_processor(read_json(description.folder / name))
    raise NotFoundError(
        f"no {FILES[0]} in {description.folder}, so nobody says how pictures are prepared;"
        " copy it from the original model"
    )
