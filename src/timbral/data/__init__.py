"""Corpora, prepared stores, and the batches drawn from them."""
