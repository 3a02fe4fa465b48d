"""Layers that several encoders share. Frames are time-major: (B, F, C)."""
