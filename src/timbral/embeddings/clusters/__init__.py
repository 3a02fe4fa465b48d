"""Clustering of recordings without labels by speaker."""
