"""Trials, scores, and error rates."""
