"""What models are asked beyond text: each kind of request prepared, driven and finished.

A file prepares its input (`inputs/`), drives a pure model (`models/`) and gives a typed result;
`library/` makes methods of them.
"""
