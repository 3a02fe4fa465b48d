"""The files in which vectors are handed on: a file a format."""
