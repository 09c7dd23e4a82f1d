"""Training: what makes the weights and the base. Needs the `train` extra; nothing that serves imports it."""
