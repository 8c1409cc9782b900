"""The door: one file per verb, imported only when it is chosen."""
