"""Findings about a corpus, from its embeddings."""
