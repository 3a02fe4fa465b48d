"""Weights of encoders: ours, published ones, and those of other projects."""
