"""Pictures of every kind decoded to the same pixels, and those that cannot be trusted refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fathom.errors import PictureError, WriteError
from fathom.inputs.pictures import (
    MOST_BYTES,
    MOST_PIXELS,
    encode_picture,
    read_picture,
    write_picture,
)

HEIGHT, WIDTH = 5, 7
RGB = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PLAIN = Image.fromarray(RGB)


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return stored(PLAIN, exif=exif)


def palette() -> Image.Image:
    return PLAIN.quantize(8)


def translucent() -> Image.Image:
    alpha = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH, 1)
    return Image.fromarray(np.concatenate((RGB, alpha), axis=2))


def behind(image: Image.Image) -> np.ndarray:
    """Return red, green and blue over white, by the definition."""
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF", "JPEG"])
def test_every_format_is_read(kind: str) -> None:
    image = palette() if kind == "GIF" else PLAIN
    content = stored(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    found = read_picture(content)
    assert (found.height, found.width) == (HEIGHT, WIDTH)
    if kind not in ("JPEG", "AVIF"):  # which keep only what is seen
        assert np.array_equal(found.pixels, np.asarray(image.convert("RGB")))
    assert found.notes == ()


@pytest.mark.parametrize(
    ("image", "expected", "off", "note"),
    [
        (palette(), np.asarray(palette().convert("RGB")), 0, ""),
        (PLAIN.convert("L"), np.asarray(PLAIN.convert("L").convert("RGB")), 0, ""),
        (PLAIN.convert("1"), np.asarray(PLAIN.convert("1").convert("RGB")), 0, ""),
        (translucent(), behind(translucent()), 1, "white"),
        (translucent().convert("LA"), behind(translucent().convert("LA")), 1, "white"),
    ],
    ids=["palette", "grey", "black and white", "alpha", "grey alpha"],
)
def test_every_mode_becomes_colours(
    image: Image.Image, expected: np.ndarray, off: int, note: str
) -> None:
    found = read_picture(stored(image))
    assert np.abs(found.pixels.astype(float) - expected).max() <= off
    assert note in " ".join(found.notes) and bool(note) == bool(found.notes)


def test_a_transparent_entry_of_a_palette_is_white() -> None:
    image = palette()
    found = read_picture(stored(image, transparency=0))
    hidden = np.asarray(image) == 0
    assert hidden.any() and (found.pixels[hidden] == 255).all()
    assert np.array_equal(found.pixels[~hidden], np.asarray(image.convert("RGB"))[~hidden])


def test_cmyk_is_read_as_its_colours() -> None:
    found = read_picture(stored(PLAIN.convert("CMYK"), "TIFF"))
    assert np.array_equal(found.pixels, np.asarray(PLAIN.convert("CMYK").convert("RGB")))


def test_sixteen_bits_keep_their_upper_half() -> None:
    deep = (RGB[..., 0].astype(np.uint16) << 8) | 77
    found = read_picture(stored(Image.fromarray(deep)))
    assert np.array_equal(found.pixels, np.repeat(RGB[..., :1], 3, axis=2))
    assert "16 bits" in found.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_upright(orientation: int) -> None:
    """By the definition of the tag: where row 0 and column 0 of what is stored are seen."""
    seen = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: np.rot90(RGB.transpose(1, 0, 2), 2),
        8: np.rot90(RGB),
    }
    assert np.array_equal(read_picture(turned(orientation)).pixels, seen[orientation])


def test_broken_exif_is_told_and_left() -> None:
    found = read_picture(stored(PLAIN, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"))
    assert np.array_equal(found.pixels, RGB)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    first, second = palette(), PLAIN.transpose(Image.Transpose.FLIP_LEFT_RIGHT).quantize(8)
    if kind in ("WEBP", "PNG"):
        first, second = PLAIN, PLAIN.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    options = {"lossless": True} if kind == "WEBP" else {}
    content = stored(first, kind, save_all=True, append_images=[second], **options)
    found = read_picture(content)
    assert np.array_equal(found.pixels, np.asarray(first.convert("RGB")))
    assert "first" in found.notes[0]


def test_files_arrays_and_pillow_pictures_are_alike(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", RGB)
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), encode_picture(RGB), RGB, PLAIN):
        assert np.array_equal(read_picture(source).pixels, RGB)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of so many pixels, none of them there: the header alone must suffice."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"no picture at all", "known are JPEG"),
        (stored(PLAIN)[:-30], "broken"),
        (stored(PLAIN, "JPEG")[:200], "broken"),
        (stored(Image.new("RGB", (64, 64), "red"), "JPEG")[:-200], "broken"),
        (bomb(50_000, 50_000), "million pixels"),
        (bomb(10_000, 10_000), "million pixels"),
        (bomb(30, 30), "broken"),
        (stored(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"), "fractions"),
        (stored(Image.fromarray(RGB[..., 0].astype(np.int32)), "TIFF"), "32 bits"),
        (stored(PLAIN, "PPM"), "known are"),
    ],
    ids=[
        *("empty", "text", "cut PNG", "cut header", "cut JPEG", "bomb", "large", "no pixels"),
        *("fractions", "whole numbers", "unknown format"),
    ],
)
def test_what_cannot_be_trusted_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "given.png"
    file.write_bytes(content)
    for source in (content, file):
        with pytest.raises(PictureError, match=said) as refused:
            read_picture(source)
        assert "\n" not in str(refused.value)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as stream:
        stream.truncate(MOST_BYTES + 1)
    with pytest.raises(PictureError, match="smaller"):
        read_picture(large)
    with pytest.raises(PictureError, match="no such picture"):
        read_picture(tmp_path / "absent.png")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.broadcast_to(np.uint8(0), (MOST_PIXELS + 1, 1, 3)),
    ],
    ids=["grey", "alpha", "fractions", "empty", "large"],
)
def test_an_array_is_checked(array: np.ndarray) -> None:
    with pytest.raises(PictureError):
        read_picture(array)


@given(data=st.data())
def test_damage_ends_in_pixels_or_in_one_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    content = bytearray(stored(PLAIN, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_picture(bytes(content[: data.draw(st.integers(1, len(content)))]))
    except PictureError:
        return
    assert found.pixels.dtype == np.uint8 and found.pixels.shape[2] == 3


@pytest.mark.parametrize(("ending", "exact"), [(".png", True), (".webp", True), (".jpg", False)])
def test_what_is_written_is_read_again(ending: str, exact: bool, tmp_path: Path) -> None:
    smooth = np.full((16, 16, 3), 90, np.uint8)
    write_picture(tmp_path / f"a{ending}", smooth)
    found = read_picture(tmp_path / f"a{ending}").pixels
    assert np.abs(found.astype(int) - smooth).max() <= (0 if exact else 3)


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"\.png"):
        write_picture(tmp_path / "a.txt", RGB)
    with pytest.raises(WriteError, match="choose another"):
        write_picture(tmp_path / "absent" / "a.png", RGB)
    assert not list(tmp_path.iterdir())
