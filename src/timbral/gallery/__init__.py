"""Enrolled voices: their database, the checks before enrollment, and the search for a speaker."""
