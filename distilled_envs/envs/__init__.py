"""The real environments: N-dimensional cart-pole, Atari games, and the task as a dataset saw it."""
