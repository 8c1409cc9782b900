"""Models that listen and answer, a file per family."""
