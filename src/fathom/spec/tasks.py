"""What a model can be asked for: tasks by name, and which of them a spec can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fathom.spec.classes import model_class
from fathom.spec.decoder import Decoder
from fathom.spec.model import Model

TASKS: Mapping[str, str] = {
    "chat": "answers a conversation, by the chat template that comes with the model",
    "generate": "continues a text, or writes what it was trained to write for it",
    "infill": "writes what is missing between two texts",
    "translate": "writes a text in another language",
    "summarize": "writes a shorter text",
    "fill": "says what a mask may stand for",
    "classify": "gives a text or a picture labels",
    "tag": "marks spans, such as names",
    "answer": "marks where a text answers a question",
    "rerank": "puts documents in the order in which they answer a query",
    "embed": "turns a text into a vector",
    "autoencode": "turns a picture into latents, and back",
    "denoise": "says what is noise in latents; a part of a pipeline that makes pictures",
    "imagine": "makes a picture that fits a text, or changes one",
    "interpolate": "makes pictures between two",
    "transcribe": "writes down what is said in a sound, with times; also in English",
    "detect_language": "says which language is spoken in a sound",
    "features": "turns a picture into vectors, of the whole and of each part",
    "compare": "says how alike pictures are, or how well texts fit them",
    "detect": "finds what words name in a picture, as boxes",
    "segment": "marks what belongs together in a picture",
    "solve": "finds the solution of a puzzle",
}

# What a class is made for comes first; an encoder gives vectors whatever its head is for.
OF_CLASS: Mapping[str, tuple[str, ...]] = {
    "seq2seq": ("generate", "translate", "summarize"),
    "MLM": ("fill", "embed"),
    "classifier": ("classify", "embed"),
    "reranker": ("rerank", "classify", "embed"),
    "tagger": ("tag", "embed"),
    "extractive QA": ("answer", "embed"),
    "embedding": ("embed",),
}


def possible(
    spec: Model, *, chats: bool, infills: bool, published: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the tasks that a model can do, first the one that it is there for.

    Args:
        chats: whether a chat template comes with it.
        infills: whether its vocabulary has tokens for what is missing in a text.
        published: tasks that its publisher names, such as "summarization"; where it is a single
            one, the model is there for that.
    """
    decided, _ = model_class(spec)
    if isinstance(spec, Decoder) and decided != "embedding":
        fitting = {"chat": chats, "generate": True, "infill": infills, "embed": True}
        return tuple(task for task, fits in fitting.items() if fits)
    tasks = OF_CLASS[decided]
    named = {_task(each) for each in published}
    first = [task for task in tasks if named == {task}]
    return (*first, *(task for task in tasks if task not in first))


def _task(published: str) -> str:
    """Return our name of a task: 'translation_en_to_de' is one of translating."""
    kind = published.partition("_")[0]
    return {"summarization": "summarize", "translation": "translate"}.get(kind, published)
