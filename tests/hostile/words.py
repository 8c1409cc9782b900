"""The prose of ``docs/security.md``: whom we trust, and what is open."""

THREATS = """\
# Files from strangers

## Who is trusted

The person who runs Fathom, the machine it runs on, Fathom's own cache, and the packages that it
was installed with.

## Who is not

Whoever made a checkpoint: weights, configuration, index, tokenizer, chat template, adapter. Any
byte of these may be chosen to run code, to read or write elsewhere, to exhaust memory or time, or
to put one tensor in the place of another.

## What is promised

- **Nothing in a checkpoint runs.** Configurations are data: `auto_map`, `trust_remote_code` and
  keys of that kind are never followed, and an architecture that exists only as the code in its
  repository is refused. A known architecture runs by our own code, whatever else its
  configuration names; a line in the log says what was passed over.
- **Headers are checked before their libraries see them**: sizes against the length of the file
  before anything is allocated, every byte of the data in exactly one tensor, no name twice.
  Numbers are Python's, which do not overflow. `src/fathom/checkpoint/limits.py` is the one table
  of limits, each with its reason.
- **Sizes that the tensors belie are refused before memory is taken.**
- **Chat templates render in a child** that opens no file and no socket, with 256 MiB and 2 s of
  processor time for a turn. It stays warm. A `tokenizer.json` is checked as data, then built and
  tried in such a child before it is built here, once per content.
- **A user's words open no turn.** In a chat, control tokens come from the template alone; what a
  user or a tool spells is read as text (`src/fathom/inputs/conversation.py`).
- **Pickles are refused.** With `--allow-pickle` an unpickler that knows a dozen names reads them
  in a child that can open nothing and reach nothing; `fathom convert NAME OUT --allow-pickle`
  writes what is in them as safetensors.
- **A save that dies never looks complete**: written beside, flushed, renamed, the folder flushed.
  Old or new is whole after a kill, a full disk or a failing one at every step.
- **Every refusal is one line with a code**, the same code by whichever door the file came.

## What is not promised

- A file that is shortened by another process while it is mapped ends the process (ST-44): model
  files must not change under a running model.
- The limits of children are those of Linux; on other systems an audit hook and a clock remain.
- What a model says is not judged, and side channels of the machine are not closed.
- Whoever may write to Fathom's cache may make it believe that a tokenizer was tried.\
"""

# Lines of the catalogue that are tests of their own, and where.
ELSEWHERE = {
    "ST-39": "tests/checkpoint/test_tensors.py",
    "GG-14, GG-24, GG-26, GG-29, GG-30, GG-52, GG-53, GG-56": "tests/checkpoint/test_gguf.py",
    "PK-31": "tests/checkpoint/test_pickles.py",
    "PK-33": "tests/hostile/test_report.py",
    "CF-12": "tests/checkpoint/test_index.py",
    "TK-20": "tests/inputs/test_conversation.py",
    "TK-22, TK-24": "tests/inputs/test_tokenizer.py",
    "JJ-19": "tests/inputs/test_tokenizer.py",
    "F-01 to F-09, F-11, F-12, F-14": "tests/hostile/test_saving.py",
    "FZ-01, FZ-02, FZ-03": "tests/hostile/test_parsers.py",
}
OPEN = {
    "ST-40": "values that are not finite are accepted on load and not counted",
    "ST-44": "a mapped file that is shortened ends the process",
    "GG-40, CF-29, CF-30": "there is no quantising and no merging yet",
    "PK-36": "the run under `python -O` is not part of the tests",
    "CF-06": "pipelines of several models are not read yet",
    "TK-16": "the sentencepiece package is not used; its files are read by our own bounded reader",
    "TK-19": "ids beyond the embedding are refused when they are used, not when the file is read",
    "TK-23": "the time of a mebibyte of one character is bounded, not measured to be linear",
    "AD-05, AD-08": "belong to opening a base with an adapter; see tests/residency",
    "JJ-16, JJ-17, AD-09 to AD-16": "belong to the server and to kept states",
    "JJ-21": "a template that drops a message is not noticed",
    "F-10, F-13, F-15 to F-24": "no power-loss model, no resumed conversion, no offloading to disk",
    "F-25 to F-36": "as far as huggingface_hub goes (tests/checkpoint/test_hub.py); a killed"
    " download of plain HTTP begins anew (F-26)",
}
