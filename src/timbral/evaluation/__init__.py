"""Evaluate encoders on lists of trials, and fit calibrations to the results."""
