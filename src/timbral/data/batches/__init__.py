"""Batches for training, each a pure function of (seed, step)."""
