"""The landscape as data: names, and later classes, models, makers and hardware."""
