"""Recordings: decoded, cut into segments, preprocessed."""
