"""What a model is, as frozen values: no arithmetic, no tensors, no torch."""
