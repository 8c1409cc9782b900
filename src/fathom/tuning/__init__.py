"""Changing weights by training."""
