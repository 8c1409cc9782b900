"""Models of speech, a file per family."""
