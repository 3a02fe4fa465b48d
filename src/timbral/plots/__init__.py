"""Embeddings on a plane, and plots of them."""
