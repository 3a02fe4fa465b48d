"""Readers of vectors in the files of other tools. Start reading in `registry`."""
