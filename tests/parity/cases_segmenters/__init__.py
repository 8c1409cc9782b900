"""Cases of segmenters."""
