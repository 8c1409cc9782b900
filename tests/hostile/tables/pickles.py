"""PyTorch pickles: lines PK-01 to PK-36 of the catalogue. A line here is a program and its code."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from hostile.case import Build, Case, file_of

STATE = {"weight": torch.arange(6.0).reshape(2, 3)}
DOOR = ("unpickle",)


def program(module: str, name: str, argument: bytes = b"") -> bytes:
    """A pickle that calls a function by GLOBAL and REDUCE."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + argument + b"tR."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def saved(state: object, *, older: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=not older)
    return stream.getvalue()


def archive(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as output:
        for name, content in members:
            output.writestr(name, content)
    return stream.getvalue()


def torch_file(script: bytes, data: bytes = bytes(24)) -> bytes:
    """An archive as torch makes it around a program of ours."""
    return archive(("m/data.pkl", script), ("m/byteorder", b"little"), ("m/data/0", data))


def tensor(
    *,
    dtype: str = "FloatStorage",
    elements: int = 6,
    offset: int = 0,
    shape: tuple[int, ...] = (2, 3),
    stride: tuple[int, ...] = (3, 1),
) -> bytes:
    """The program of one tensor named "a", with its numbers as given."""
    stored = _Spelled("torch", dtype)
    machine = io.BytesIO()
    writer = _Writer(machine, 2)
    writer.dump({"a": _Rebuilt(("storage", stored, "0", "cpu", elements), offset, shape, stride)})
    return machine.getvalue()


class _Spelled:
    """A global by its name, whatever that is."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Rebuilt:
    def __init__(self, pid: object, *arguments: object) -> None:
        self.pid, self.arguments = pid, arguments


class _Writer(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes tensors as torch does, and globals that need not exist."""

    def save(self, value: object, save_persistent_id: bool = True) -> None:
        if isinstance(value, _Spelled):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, _Rebuilt):
            self.write(b"ctorch._utils\n_rebuild_tensor_v2\n(")
            self.save(value.pid, False)
            self.write(b"Q")
            for argument in value.arguments:
                self.save(argument, False)
            self.write(b"\x89NtR")
        else:
            super().save(value, False)


NAMES = {
    "PK-02": ("posix.system",),
    "PK-03": ("builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__"),
    "PK-04": ("importlib.import_module",),
    "PK-05": ("unknown_package.anything",),
    "PK-06": ("pkgutil.resolve_name",),
    "PK-07": (
        *("runpy.run_path", "cProfile.run", "pty.spawn", "timeit.timeit"),
        *(
            "code.InteractiveInterpreter",
            "idlelib.pyshell.ModifiedInterpreter",
            "doctest.debug_script",
        ),
    ),
    "PK-08": ("functools.partial", "operator.methodcaller", "_operator.attrgetter"),
    "PK-09": (
        *("torch.utils.collect_env.run", "torch.jit.unsupported_tensor_ops.execWrapper"),
        *("torch.utils._config_module.load_config", "torch.load", "torch.hub.load"),
    ),
    "PK-10": ("numpy.f2py.crackfortran.getlincoef", "numpy.core.multiarray._reconstruct"),
    "PK-11": ("io.FileIO", "logging.FileHandler", "shutil.rmtree", "builtins.open"),
    "PK-12": ("ssl.get_server_certificate", "linecache.getlines", "smtplib.SMTP"),
}
PROGRAMS: dict[str, tuple[bytes, str]] = {
    **{
        f"{id} {name}": (program(*name.rpartition(".")[::2], text("id")), "E_UNSAFE_CODE")
        for id, names in NAMES.items()
        for name in names
    },
    "PK-13 INST": (b"\x80\x02(" + text("id") + b"iposix\nsystem\n.", "E_UNSAFE_CODE"),
    "PK-13 OBJ": (b"\x80\x02(cposix\nsystem\n" + text("id") + b"o.", "E_UNSAFE_CODE"),
    "PK-14 REDUCE and BUILD": (
        b"\x80\x02ccollections\nOrderedDict\n)R}" + text("x") + b"cos\nsystem\nsb.",
        "E_UNSAFE_CODE",
    ),
    "PK-15 a dotted name": (
        b"\x80\x04" + text("os") + text("path.join") + b"\x93.",
        "E_UNSAFE_CODE",
    ),
    "PK-16 a name made in the memo": (
        b"\x80\x04" + text("os") + b"q\x00" + text("system") + b"q\x01h\x00h\x01\x93.",
        "E_UNSAFE_CODE",
    ),
    "PK-17 a program before a broken tail": (
        program("os", "system", text("id"))[:-1] + b"\xff\xff",
        "E_UNSAFE_CODE",
    ),
    "PK-18 a frame that lies": (
        b"\x80\x04\x95" + struct.pack("<Q", 3) + b"cos\nsystem\n.",
        "E_TRUNCATED",
    ),
    "PK-24 a magic number made by a program": (program("os", "getcwd"), "E_UNSAFE_CODE"),
    "PK-26 lists that double forty times": (
        b"\x80\x02]q\x00"
        + b"".join(b"](h%ch%ceq%c" % (level - 1, level - 1, level) for level in range(1, 40))
        + b".",
        "E_MISMATCH",
    ),
    "PK-27 a mebibyte of digits": (
        b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
        "E_MISMATCH",
    ),
    "PK-27 bytes that are not there": (
        b"\x80\x03B" + struct.pack("<I", 2**31 - 1),
        "E_LIMIT",
    ),
    "PK-30 training arguments with a program": (
        program("transformers.training_args", "TrainingArguments"),
        "E_UNSAFE_CODE",
    ),
    "PK-35 no end": (b"\x80\x02}", "E_TRUNCATED"),
    "PK-35 protocol 9": (b"\x80\x09}.", "E_VERSION"),
}
TENSORS: dict[str, tuple[bytes, str]] = {
    "PK-28 storage longer than its bytes": (tensor(elements=600), "E_OFFSET"),
    "PK-28 shape past the storage": (tensor(shape=(3, 3)), "E_OFFSET"),
    "PK-28 stride past the storage": (tensor(stride=(2**40, 1)), "E_OFFSET"),
    "PK-28 negative offset": (tensor(offset=-1), "E_OFFSET"),
    "PK-28 negative stride": (tensor(stride=(-3, 1)), "E_OFFSET"),
    "PK-28 offset past the storage": (tensor(offset=4), "E_OFFSET"),
    "PK-28 strides of another rank": (tensor(stride=(1,)), "E_SHAPE"),
    "PK-28 much of little": (tensor(shape=(2**30, 3), stride=(0, 1)), "E_LIMIT"),
    "PK-28 a type that is none": (tensor(dtype="Size"), "E_DTYPE"),
}


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("m/data/0")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


EMPTY = ("m/data.pkl", pickle.dumps({}, protocol=2))
SOUND = saved(STATE)
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "PK-20 another checksum": (SOUND.replace(b"weight", b"WEIGHT"), "E_HEADER_SYNTAX"),
    "PK-20 half an archive": (SOUND[: len(SOUND) // 2], "E_HEADER_SYNTAX"),
    "PK-21 another program": (archive(EMPTY, ("n/data.pkl", b"")), "E_DUPLICATE"),
    "PK-22 parent": (archive(EMPTY, ("../../evil", b"")), "E_PATH"),
    "PK-22 absolute": (archive(EMPTY, ("/evil", b"")), "E_PATH"),
    "PK-22 backslash": (archive(EMPTY, ("..\\evil", b"")), "E_PATH"),
    "PK-22 a link": (archive(EMPTY, (_link(), b"/etc")), "E_PATH"),
    "PK-23 compressed": (
        archive(("m/data.pkl", bytes(1 << 20)), method=zipfile.ZIP_DEFLATED),
        "E_LIMIT",
    ),
    "PK-25 another archive": (archive(("word/document.xml", b"")), "E_MAGIC"),
    "PK-29 a sparse tensor": (saved({"a": torch.eye(3).to_sparse()}), "E_UNSAFE_CODE"),
    "PK-34 TorchScript": (archive(EMPTY, ("m/constants.pkl", b"")), "E_UNSAFE_CODE"),
    "PK-34 code": (archive(EMPTY, ("m/code/a.py", b"")), "E_UNSAFE_CODE"),
    "PK-35 no numbers": (torch_file(tensor(), bytes(8)), "E_OFFSET"),
    "PK-35 older, cut short": (saved(STATE, older=True)[:-8], "E_TRUNCATED"),
}


def refused_without_leave() -> list[Case]:
    """PK-01, PK-19, PK-32: pickles nobody allowed, and ones under a false name."""
    folders: dict[str, Callable[[Path], Path]] = {
        "PK-01 a pickle of weights": file_of("pytorch_model.bin", SOUND),
        "PK-32 a value head": file_of("value_head.bin", SOUND),
    }
    false: dict[str, Build] = {
        f"PK-19 a pickle named {name}": file_of(name, SOUND)
        for name in ("model.safetensors", "model.gguf")
    }
    doors = ("headers", "inspect", "open", "convert")
    sound = file_of("model.safetensors", struct.pack("<Q", 2) + b"{}")
    rows = [(name, build, "E_UNSAFE_CODE") for name, build in folders.items()]
    rows += [(name, build, "E_MAGIC") for name, build in false.items()]
    return [Case(*_named(name), build, code, sound, doors) for name, build, code in rows]


def _named(name: str) -> tuple[str, str]:
    id, _, title = name.partition(" ")
    return id, title


def _case(name: str, content: bytes, code: str) -> Case:
    twin = file_of("model.bin", SOUND)
    return Case(*_named(name), file_of("model.bin", content), code, twin, DOOR, DOOR)


CASES = [
    *refused_without_leave(),
    *(_case(name, content, code) for name, (content, code) in PROGRAMS.items()),
    *(
        _case(f"{name}, in an archive", torch_file(content), code)
        for name, (content, code) in PROGRAMS.items()
        if code == "E_UNSAFE_CODE"
    ),
    *(_case(name, torch_file(content), code) for name, (content, code) in TENSORS.items()),
    *(_case(name, content, code) for name, (content, code) in ARCHIVES.items()),
    Case(
        "PK-28",
        "the tensor that the others misspell",
        file_of("model.bin", torch_file(tensor())),
        doors=DOOR,
    ),
    Case("PK-24", "the older layout", file_of("model.bin", saved(STATE, older=True)), doors=DOOR),
    Case(
        "PK-02",
        "posix.system, with leave",
        file_of("model.bin", torch_file(program("posix", "system", text("id")))),
        "E_UNSAFE_CODE",
        file_of("model.bin", SOUND),
        ("headers", "convert"),
        ("headers", "convert"),
        {"allow_pickle": True},
        seconds=60.0,
    ),
]
