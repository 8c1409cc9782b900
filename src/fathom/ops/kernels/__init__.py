"""Native kernels, compiled when Fathom is installed; `fathom.ops.native` says whether they are."""
