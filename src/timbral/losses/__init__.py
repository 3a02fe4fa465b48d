"""Losses over one batch of embeddings."""
