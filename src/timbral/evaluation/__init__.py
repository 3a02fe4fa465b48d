"""Trials, their scores, and what they say of an encoder."""
