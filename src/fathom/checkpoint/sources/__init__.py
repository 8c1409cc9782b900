"""Where weights come from: one grammar of names, and the folders, hubs and packages behind it."""
