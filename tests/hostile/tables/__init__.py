"""The catalogue as tables, one file per format."""

from hostile.case import Case
from hostile.tables import configurations, gguf, safetensors, templates, tokenizers

TABLES: dict[str, list[Case]] = {
    "safetensors": safetensors.CASES,
    "GGUF": gguf.CASES,
    "configuration": configurations.CASES,
    "tokenizer": tokenizers.CASES,
    "chat template": templates.CASES,
}
CASES = [case for table in TABLES.values() for case in table]
