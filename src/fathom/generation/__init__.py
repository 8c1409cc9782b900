"""Turns logits into token sequences: sampling, stopping, state, usage."""
