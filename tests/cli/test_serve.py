"""`fathom serve`, `ps` and `stop`: what they refuse, and whom they find."""

from __future__ import annotations

import json
import os

import psutil
import pytest

from fathom.cli.main import main
from fathom.serving import registry
from fathom.serving.clients import CLIENTS, lines


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path))


def test_only_servers_that_live_are_found() -> None:
    with registry.announced("http://127.0.0.1:1") as here:
        assert [each.url for each in registry.servers()] == [here.url]
        gone = registry.folder() / "999999999.json"
        gone.write_text(json.dumps({"pid": 999999999, "began": 0.0, "url": "http://x"}))
        other = registry.folder() / "1.json"  # a process with this number that began another time
        other.write_text(json.dumps({"pid": os.getpid(), "began": 5.0, "url": "http://y"}))
        (registry.folder() / "2.json").write_text("{")
        assert [each.url for each in registry.servers()] == [here.url]
        assert len(list(registry.folder().iterdir())) == 1
        assert psutil.Process(here.pid).is_running()
    assert registry.servers() == []


def test_without_a_server_there_is_nothing_to_list_or_stop(capsys) -> None:
    assert main(["ps"]) == 0 and "fathom serve" in capsys.readouterr().out
    assert main(["stop"]) == 0 and "no server" in capsys.readouterr().out
    assert main(["stop", "smollm2:135m"]) == 2
    assert "fathom ps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "FATHOM_API_KEY"),
        (["--memory", "lots"], "--memory"),
        (["--together", "0"], "--together"),
        (["--most-wait", "nan"], "--most-wait"),
        (["--quant", "int9"], "int8 or int4"),
        (["smollm2:135m", "--quant", "int8"], "plain numbers"),
        (["--port", "1"], "--port"),
        (["./no-such-model"], "no-such-model"),
    ],
)
def test_what_cannot_be_served_is_one_line(words, said, capsys, monkeypatch) -> None:
    monkeypatch.delenv("FATHOM_API_KEY", raising=False)
    if words == ["--port", "1"] and os.geteuid() == 0:
        pytest.skip("the system's own administrator may listen anywhere")
    code = main(["serve", *words])
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and said in err


@pytest.mark.parametrize("name", CLIENTS)
def test_what_to_type_names_the_address_and_never_the_key(name: str) -> None:
    for key in (True, False):
        line = lines("http://127.0.0.1:8000", "a-model", key=key)[name]
        assert "http://127.0.0.1:8000" in line and "\n" not in line
        assert ("$FATHOM_API_KEY" in line) == key
