"""Puts weights where the plan says."""
