"""Inspect the content of corpora and what looks wrong in them."""
