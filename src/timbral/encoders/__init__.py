"""Speaker encoders: waveforms (B, T) to embeddings (B, E)."""
