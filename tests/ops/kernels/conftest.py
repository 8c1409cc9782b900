"""`make sanitize` runs these tests on another build of the extension, named by an environment
variable: it has to be there before anybody imports the installed one."""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location

NAME = "fathom.ops.kernels._native"

if path := os.environ.get("FATHOM_NATIVE"):
    spec = spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no extension module")
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
