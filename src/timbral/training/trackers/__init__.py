"""Where a run's numbers, plots and clips go."""
