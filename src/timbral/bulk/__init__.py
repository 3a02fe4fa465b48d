"""Embed whole corpora, resumably and in parallel."""
