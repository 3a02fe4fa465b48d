"""Embeddings on a plane, and pictures of them."""
