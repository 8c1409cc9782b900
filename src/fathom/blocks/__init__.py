"""Parts that architectures share, built from their specs, and the state they are handed."""
