"""Cases of models that see."""
