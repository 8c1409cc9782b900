"""Whole architectures for a single device, one file each."""
