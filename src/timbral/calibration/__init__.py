"""From a cosine to a likelihood ratio, a probability and a decision with a known risk."""
