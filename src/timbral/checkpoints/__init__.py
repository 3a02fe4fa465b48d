"""Weights of encoders: timbral's, published ones, and those of other projects."""
