"""Many sequences at once on one model: who runs when, where their state lies, who is told."""
