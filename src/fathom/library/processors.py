"""How a checkpoint's publisher prepares pictures and sound, read from files beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from fathom.checkpoint.description import Description
from fathom.checkpoint.documents import read_json
from fathom.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from fathom.inputs.picture_processing import PictureProcessor
    from fathom.inputs.sound_spectrogram import Hearing
    from fathom.spec.picture_sizes import Native, Tiled

FILES = ("preprocessor_config.json", "processor_config.json")
OF_VIDEOS = "video_preprocessor_config.json"


def read_picture_processor(description: Description) -> PictureProcessor:
    """Return the processor of pictures that lies beside a checkpoint.

    Raises:
        NotFoundError: when there is none.
        ModelFileError, ConfigError: for one that cannot be understood.
    """
    from fathom.inputs.picture_processing import read_processor

    return read_processor(_stated(description))


def read_hearing(description: Description, bands: int, frames: int) -> Hearing:
    """Return how sound becomes `frames` of a spectrogram, as the publisher says or as is usual.

    Raises:
        ModelFileError, ConfigError: for what cannot be understood, or does not suit the model.
    """
    from fathom.inputs.sound_spectrogram import Hearing

    file = description.folder / FILES[0]
    stated = read_json(file) if file.is_file() else {}
    return Hearing.published(stated, bands, frames)


@dataclass(frozen=True)
class Views:
    """How pictures are prepared that are seen in tiles or at their own size, and the rule of it."""

    how: PictureProcessor
    rule: Tiled | Native


def read_views(description: Description, rule: Tiled | Native, *, videos: bool = False) -> Views:
    """Return how a checkpoint's pictures, or `videos`, are seen; the file goes before the `rule`.

    Raises:
        NotFoundError, ModelFileError, ConfigError: as `read_picture_processor`.
    """
    from fathom.inputs.picture_views import read_views as read

    stated = _stated(description)
    how, of_pictures = read(stated)
    sizes = _of_videos(description, stated) if videos else of_pictures
    known = {field.name for field in fields(rule)}
    if sizes.keys() - known:
        raise ConfigError(
            f"{description.folder} prepares pictures by {', '.join(sizes)}, and its model sees"
            f" them by {', '.join(sorted(known))}; take both from one place"
        )
    changes: dict[str, Any] = {**sizes}
    return Views(how, replace(rule, **changes))


def _of_videos(description: Description, stated: Mapping[str, object]) -> Mapping[str, int]:
    """Return what is said of the sizes of videos, in a section or a file of its own."""
    from fathom.inputs.picture_views import read_sizes

    section = stated.get("video_processor")
    file = description.folder / OF_VIDEOS
    if not isinstance(section, Mapping) and file.is_file():
        section = read_json(file)
    return read_sizes(section) if isinstance(section, Mapping) else {}


def _stated(description: Description) -> Mapping[str, object]:
    for name in FILES:
        if (description.folder / name).is_file():
            return read_json(description.folder / name)
    raise NotFoundError(
        f"no {FILES[0]} in {description.folder}, so nobody says how pictures are prepared;"
        " copy it from the original model"
    )
