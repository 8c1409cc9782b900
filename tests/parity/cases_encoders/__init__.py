"""Every case of every family: a file here per file in `fathom.dialects`."""
