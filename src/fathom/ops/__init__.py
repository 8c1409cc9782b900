"""Arithmetic, one operation a file: the plain PyTorch definition first, faster variants after."""
