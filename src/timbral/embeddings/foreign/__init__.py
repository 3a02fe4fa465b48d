"""Vectors of other tools. Read on in `registry`."""
