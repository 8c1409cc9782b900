"""Pictures made from noise: schedules, steps, guidance, and what drives a pipeline."""
