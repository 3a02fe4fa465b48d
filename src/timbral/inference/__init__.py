"""Compute embeddings from audio."""
