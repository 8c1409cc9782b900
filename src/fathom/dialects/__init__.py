"""How publishers spell it: their configuration becomes a spec, their tensor names become ours."""
