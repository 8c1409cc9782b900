"""The prose of ``docs/security.md``: whom we trust, and what is open."""

THREATS = """\
# Files from strangers

## Who is trusted

The person who runs Fathom, the machine it runs on, what is written into Fathom's own cache and
into the hub's, and the packages that it was installed with.

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
- **A file that changes under a running model harms nothing.** Only files in Fathom's cache, the
  hub's cache and installed packages are mapped, where programs put whole files and replace them
  whole. Any other is read, and one that is shortened or written over meanwhile is an error.
- **Chat templates render in a child** that opens no file and no socket, with 256 MiB and 2 s of
  processor time for a turn. It stays warm. A `tokenizer.json` is checked as data, then built and
  tried in such a child before it is built here, once per content. Other vocabularies
  (SentencePiece, GGUF) are built by our own code from bounded tables; the compiled normalisation
  that the library would follow blindly is walked first (`src/fathom/inputs/charsmap.py`).
- **A user's words open no turn.** In a chat, control tokens come from the template alone; what a
  user or a tool spells is read as text (`src/fathom/inputs/conversation.py`).
- **Pickles are refused.** With `--allow-pickle` an unpickler that knows a dozen names reads them
  in a child that can open nothing and reach nothing; `fathom convert NAME OUT --allow-pickle`
  writes what is in them as safetensors.
- **A save that dies never looks complete**: written beside, flushed, renamed, the folder flushed.
  Old or new is whole after a kill, a full disk or a failing one at every step.
- **Every refusal is one line with a code**, the same code by whichever door the file came.

## What is not promised

- Whoever shortens a file within a cache or an installed package, in place, ends a process that
  has mapped it. No program that keeps to these places does; they belong to who is trusted.
- That a file of one's own is the publisher's: only what was fetched is compared with a hash, and
  again only when its size or time of change differs (F-15, F-23).
- The limits of children are those of Linux; on other systems an audit hook and a clock remain.
- That every mixture of settings is tried: the tables below are what was.
- What a model says is not judged, and side channels of the machine are not closed.
- Whoever may write to Fathom's cache may make it believe that a tokenizer was tried.\
"""

# Lines of the catalogue that are tests of their own, and where.
ELSEWHERE = {
    "ST-39": "tests/checkpoint/test_tensors.py",
    "ST-40": "tests/hostile/test_saving.py",
    "GG-14, GG-24, GG-26, GG-29, GG-30, GG-52, GG-53, GG-56": "tests/checkpoint/test_gguf.py",
    "PK-31": "tests/checkpoint/test_pickles.py",
    "PK-33": "tests/hostile/test_report.py",
    "PK-36": "tests/hostile/test_catalogue.py",
    "CF-06": "tests/checkpoint/test_composed.py",
    "CF-12": "tests/checkpoint/test_index.py",
    "TK-20, JJ-21": "tests/inputs/test_conversation.py",
    "TK-19, TK-22, TK-24": "tests/inputs/test_tokenizer.py",
    "JJ-19": "tests/inputs/test_tokenizer.py",
    "JJ-16, JJ-17, AD-09, AD-10": "tests/serving/shapes/test_refusals.py",
    "F-01 to F-14, F-16, F-17, F-24": "tests/hostile/test_saving.py",
    "F-15": "tests/checkpoint/sources/test_locate.py",
    "FZ-01, FZ-02, FZ-03": "tests/hostile/test_parsers.py",
}
OPEN = {
    "GG-40, CF-29, CF-30": "there is no quantising and no merging yet",
    "TK-19": "tokens that were added beyond the rows of a model are told of and not refused:"
    " published models have them; one in a text is refused",
    "TK-23": "the library takes up to three times as long, and not 2.5 times, from one mebibyte to"
    " two, where its tables leave the cache",
    "AD-05, AD-08": "belong to opening a base with an adapter; see tests/residency",
    "AD-11 to AD-16": "the server takes no embeddings and keeps no state in a file; beginnings are"
    " shared by all who hold its one key",
    "ST-40": "counted where everything is read, in `fathom convert`, and not on opening, which"
    " would read every value; a model that computes one stops with E_NONFINITE",
    "F-13": "a conversion that was stopped begins anew, and gives the same bytes",
    "F-18 to F-22": "weights and states are not kept on disk while a model runs",
    "F-23": "a file that was altered and keeps its size and time of change is not hashed again",
    "F-25 to F-36": "as far as huggingface_hub goes (tests/checkpoint/sources/test_hub.py)",
    "F-26": "that library gives every download a file of its own, so that one that was killed"
    " begins anew; what was broken off within one process is resumed",
}
