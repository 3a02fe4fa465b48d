"""The corpora that timbral knows, and how their folders are read."""
