"""The catalogue as tables, one file per format."""

from hostile.case import Case
from hostile.tables import (
    adapters,
    configurations,
    gguf,
    pickles,
    safetensors,
    templates,
    tokenizers,
)

TABLES: dict[str, list[Case]] = {
    "safetensors": safetensors.CASES,
    "GGUF": gguf.CASES,
    "pickle": pickles.CASES,
    "configuration": configurations.CASES,
    "adapter": adapters.CASES,
    "tokenizer": tokenizers.CASES,
    "chat template": templates.CASES,
}
CASES = [case for table in TABLES.values() for case in table]
