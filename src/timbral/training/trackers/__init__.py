"""Trackers of a run's numbers, plots and clips."""
