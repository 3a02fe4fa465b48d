"""Prepared data: written once, read without waiting."""
