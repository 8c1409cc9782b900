"""Strict JSON documents: CF-17 to CF-21, each beside an accepted twin."""

from pathlib import Path

import pytest

from fathom.checkpoint.documents import read_json
from fathom.checkpoint.limits import JSON_BYTES, JSON_DEPTH
from fathom.errors import ModelFileError, NotFoundError


def nested(levels: int) -> bytes:
    """An object that is `levels` deep in all."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


REFUSED = {
    "CF-17 deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "E_DEPTH"),
    "CF-17 one level too deep": (nested(JSON_DEPTH.most + 1), "E_DEPTH"),
    "CF-17 deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "E_DEPTH"),
    "CF-18 digits": (b'{"a":' + b"9" * 5000 + b"}", "E_HEADER_SYNTAX"),
    "CF-19 key twice": (b'{"a":1,"a":1}', "E_DUPLICATE"),
    "CF-19 key twice within": (b'{"a":[{"b":1,"b":2}]}', "E_DUPLICATE"),
    "CF-20 NaN": (b'{"a":NaN}', "E_NONFINITE"),
    "CF-20 infinite": (b'{"a":-Infinity}', "E_NONFINITE"),
    "CF-20 1e400": (b'{"a":1e400}', "E_NONFINITE"),
    "CF-21 mark": (b'\xef\xbb\xbf{"a":1}', "E_HEADER_ENCODING"),
    "CF-21 UTF-16 with a mark": ('{"a":1}'.encode("utf-16"), "E_HEADER_ENCODING"),
    "CF-21 UTF-16": ('{"a":1}'.encode("utf-16-le"), "E_HEADER_ENCODING"),
    "CF-21 surrogate": (b'{"a":"\\uD800"}', "E_HEADER_ENCODING"),
    "CF-21 surrogate in a key": (b'{"\\udfff":1}', "E_HEADER_ENCODING"),
    "CF-21 Latin-1": ('{"a":"é"}'.encode("latin-1"), "E_HEADER_ENCODING"),
    "a list": (b"[]", "E_HEADER_SYNTAX"),
    "nothing": (b"", "E_HEADER_SYNTAX"),
    "two documents": (b"{}{}", "E_HEADER_SYNTAX"),
}

ACCEPTED = {
    "CF-17 twin": nested(JSON_DEPTH.most),
    "CF-18 twin": b'{"a":' + b"9" * 100 + b"}",
    "CF-19 twin": b'{"a":{"b":1},"c":{"b":1}}',
    "CF-20 twin": b'{"a":1e300}',
    "CF-21 twin": b'{"a":"\\ud83d\\ude00"}',
    "CF-21 twin, plain": '{"a":"é"}'.encode(),
    "white space": b" {} \n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_document_is_refused_with_its_code(case: str, tmp_path: Path) -> None:
    content, code = REFUSED[case]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_json(path)
    assert caught.value.code == code, str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ACCEPTED)
def test_its_twin_is_accepted(case: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(ACCEPTED[case])
    assert isinstance(read_json(path), dict)


def test_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as stream:
        stream.write(b"{}")
        stream.truncate(1 << 30)
    with pytest.raises(ModelFileError, match=rf"{JSON_BYTES.most:,}.*E_LIMIT"):
        read_json(path)


def test_a_hundred_thousand_keys_with_one_twice_are_refused_at_once(tmp_path: Path) -> None:
    names = [f"k{number}" for number in range(100_000)]
    path = tmp_path / "config.json"
    path.write_text("{" + ",".join(f'"{name}":1' for name in [*names, names[-1]]) + "}")
    with pytest.raises(ModelFileError, match=r"'k99999' occurs twice"):
        read_json(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_json(tmp_path / "config.json")


def test_a_configuration_may_be_boundless_where_its_reader_says_so(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    allowed = {"boundless": ("time_step_limit",)}
    path.write_text('{"a": {"b": 1}, "time_step_limit": [0.0, Infinity], "c": [{"d": 1}]}')
    assert read_json(path, **allowed)["time_step_limit"] == [0.0, float("inf")]
    with pytest.raises(ModelFileError, match="E_NONFINITE"):
        read_json(path)
    for text in (
        '{"time_step_limit": [0.0, NaN]}',
        '{"time_step_limit": [0.0, 1e400]}',
        '{"rope_theta": Infinity, "time_step_limit": [0, 1]}',
        '{"a": {"rope_theta": [[-Infinity]]}}',
        '{"a": [{"time_step_limit": [Infinity], "b": Infinity}]}',
    ):
        path.write_text(text)
        with pytest.raises(ModelFileError, match="E_NONFINITE"):
            read_json(path, **allowed)
