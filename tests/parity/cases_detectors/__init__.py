"""Cases of detectors."""
