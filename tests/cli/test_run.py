"""One answer: where the prompt comes from, what is passed on, what is printed where."""

from __future__ import annotations

import json

import pytest

from fathom.cli.run import SAMPLING


def test_the_answer_goes_to_stdout_and_figures_to_stderr(door, fake_library) -> None:
    code, out, err = door("run", "echo", "hello there")
    assert (code, out) == (0, "1: hello there\n")
    assert err.splitlines() == [
        "",
        "                 predicted      measured",
        "first token         120 ms        140 ms",
        "reading       310 tokens/s  298 tokens/s",
        "writing      41.3 tokens/s             –",
        "memory              310 MB        402 MB",
        "native program, portable kernels, because they are made up",
        "1 tokens in, 3 out, ended by itself; loaded in 900 ms",
    ]


def test_quiet_is_the_answer_alone(door, fake_library) -> None:
    assert door("run", "echo", "hi", "--quiet") == (0, "1: hi\n", "")


def test_json_holds_text_usage_and_figures(door, fake_library) -> None:
    answer = json.loads(door("run", "echo", "hi", "--json")[1])
    assert answer["text"] == "1: hi"
    assert answer["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "reasoning_tokens": 0}
    assert answer["predicted"]["memory_bytes"] == 310_000_000
    assert answer["measured"]["decode_tokens_per_second"] is None
    assert "logprobs" not in answer


def test_a_number_that_json_lacks_is_null(door, fake_library) -> None:
    words = ["run", "echo", "hi", "--raw", "--logprobs", "0", "--json"]
    assert json.loads(door(*words)[1])["logprobs"] == [None]


@pytest.mark.parametrize(
    ("stdin", "prompt"),
    [(b"hi\n", "hi"), (b"hi\r\n", "hi"), (b"a\n\n", "a\n"), ("grüß 👋".encode(), "grüß 👋")],
)
@pytest.mark.parametrize("words", [["-"], []])
def test_the_prompt_is_read_from_stdin(stdin, prompt, words, door, fake_library) -> None:
    assert door("run", "echo", *words, "--raw", stdin=stdin)[0] == 0
    assert fake_library.LAST[0].calls[-1] == {"prompt": prompt}


@pytest.mark.parametrize("option", SAMPLING)
def test_each_option_reaches_the_model(option, door, fake_library) -> None:
    value = SAMPLING[option][0](3)
    flag = "--" + option.replace("_", "-")
    assert door("run", "echo", "hi", "--json", flag, str(value))[0] == 0
    assert fake_library.LAST[0].calls[-1].pop("messages")
    assert fake_library.LAST[0].calls[-1] == {option: value}


def test_what_is_not_given_is_not_passed(door, fake_library) -> None:
    words = ("--stop", "a", "--stop", "b", "--context", "9", "--dtype", "float32")
    door("run", "echo", "hi", *words, "--quant", "int8")
    opened, asked = fake_library.LAST[0].calls
    assert opened.pop("progress") is not None
    assert opened == {
        "open": "echo",
        "adapter": None,
        "dtype": "float32",
        "quant": "int8",
        "device": None,
        "context": 9,
        "allow_pickle": False,
    }
    assert asked == {"messages": [{"role": "user", "content": "hi"}], "stop": ["a", "b"]}


def test_the_system_text_comes_first(door, fake_library) -> None:
    assert door("run", "echo", "hi", "--system", "Be brief.")[0] == 0
    roles = [message["role"] for message in fake_library.LAST[0].calls[-1]["messages"]]
    assert roles == ["system", "user"]


def test_a_checkpoint_without_template_continues_and_says_so(door, fake_library) -> None:
    code, out, err = door("run", "bare", "Once")
    assert (code, out) == (0, "Once…\n")
    assert err.startswith("fathom: note: no chat template")
    assert "note" not in door("run", "bare", "Once", "--raw")[2]


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["echo", ""], b"", "empty"),
        (["echo", "-"], b"", "empty"),
        (["echo"], b"", "empty"),
        (["echo", "-"], b"ab\xff", "not UTF-8 at byte 2"),
        (["echo", "ab\udcff"], b"", "not UTF-8 at character 2"),
        (["echo", "hi", "--system", ""], b"", "empty"),
        (["echo", "hi", "--system", "x", "--raw"], b"", "--system needs a chat template"),
        (["bare", "hi", "--system", "x"], b"", "--system needs a chat template"),
        (["echo", "hi", "--logprobs", "2"], b"", "--json"),
        (["echo", "--json"], None, "--json needs a prompt"),
        (["echo", "--raw"], None, "--raw needs a prompt"),
        (["echo"], None, "a chat needs a terminal"),
    ],
)
def test_a_bad_request_is_refused(words, stdin, said, door, fake_library) -> None:
    code, out, err = door("run", *words, stdin=stdin)
    assert (code, out) == (2, "")
    assert err.startswith("fathom: ") and err.count("\n") == 1 and said in err


def test_an_error_amid_the_answer_ends_its_line(door, fake_library, monkeypatch) -> None:
    def breaks(self: object) -> object:
        yield "half an"
        raise KeyboardInterrupt

    monkeypatch.setattr(fake_library.Generation, "__iter__", breaks)
    assert door("run", "echo", "hi") == (130, "half an\n", "")


def test_an_adapter_is_opened_with_its_base(door, fake_library) -> None:
    assert door("run", "echo", "hi", "--adapter", "./mine")[0] == 0
    assert fake_library.LAST[0].calls[0]["adapter"] == "./mine"


def test_a_pipe_gets_the_answer_without_the_reasoning(door, fake_library) -> None:
    assert door("run", "echo", "think")[1] == "yes!\n"
    answer = json.loads(door("run", "echo", "think", "--json")[1])
    assert (answer["text"], answer["reasoning"]) == ("yes!", "hm so\n")


def test_a_form_of_the_answer_reaches_the_model(door, fake_library, tmp_path) -> None:
    schema, grammar = tmp_path / "cat.json", tmp_path / "sum.lark"
    schema.write_text('{"type": "object"}')
    grammar.write_text('start: "a"')
    for words, given in [
        (["--schema", str(schema)], {"schema": '{"type": "object"}'}),
        (["--grammar", str(grammar)], {"grammar": 'start: "a"'}),
        (["--regex", "a+"], {"regex": "a+"}),
        (["--choice", "yes", "--choice", "no"], {"choice": ["yes", "no"]}),
    ]:
        assert door("run", "echo", "hi", "--json", *words)[0] == 0
        assert fake_library.LAST[0].calls[-1].pop("messages")
        assert fake_library.LAST[0].calls[-1] == given


@pytest.mark.parametrize(("content", "code"), [(None, 2), (b"\xff\xfe", 2)])
def test_a_form_that_cannot_be_read(content, code, door, fake_library, tmp_path) -> None:
    schema = tmp_path / "cat.json"
    if content is not None:
        schema.write_bytes(content)
    status, _, told = door("run", "echo", "hi", "--json", "--schema", str(schema))
    assert status == code
    assert "cat.json" in told
