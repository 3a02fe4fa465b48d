"""Encoders as graphs that take waveforms, for other runtimes, and how near these come."""
