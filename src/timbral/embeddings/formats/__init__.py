"""Output formats of vectors, one file per format."""
