"""How much GPU memory a model needs, by arithmetic on its config.json alone: no torch, no GPU, no network."""
