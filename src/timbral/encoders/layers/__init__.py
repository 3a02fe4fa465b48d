"""Layers of several encoders. Frames are time-major: (B, F, C)."""
