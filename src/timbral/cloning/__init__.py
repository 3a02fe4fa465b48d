"""Cloned voices against their references: how similar, beside what the same speaker reaches."""
