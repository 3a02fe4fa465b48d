"""Projections of embeddings, and plots as PNG."""
