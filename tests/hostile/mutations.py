"""Checks that are taken away one by one, and the cases that must then fail.

Each line names a check as ``module:name``, which is made to do nothing in the attempt's process.
A case that passes all the same would not have tested its check.
"""

from __future__ import annotations

MUTATIONS: dict[str, tuple[str, str]] = {
    # check: (case, door)
    "fathom.checkpoint.safetensors:_check_layout": ("ST-12 one byte", "headers"),
    "fathom.checkpoint.safetensors:check_name": ("ST-38 long name", "headers"),
    "fathom.checkpoint.gguf:_check_offset": ("GG-38 offset wraps", "headers"),
    "fathom.checkpoint.gguf:_check_end": ("GG-42 trailing", "headers"),
    "fathom.checkpoint.index:check_inside": ("CF-10 a link out of the folder", "headers"),
    "fathom.checkpoint.index:_check_shard_name": ("CF-09 a pickle among the shards", "headers"),
    "fathom.checkpoint.description:_require_agreement": ("CF-14 another inner width", "open"),
    "fathom.checkpoint.configuration:_check_type": ("CF-27 a pattern as a name", "inspect"),
    "fathom.checkpoint.documents:_check_depth": ("CF-17 one level too deep", "document"),
    "fathom.checkpoint.pickles:_check_members": ("PK-22 parent", "unpickle"),
    "fathom.checkpoint.adapter_config:_refuse_code": ("AD-01 a library to import", "adapter"),
}
