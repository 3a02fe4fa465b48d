"""Results as HTML pages and plots."""
