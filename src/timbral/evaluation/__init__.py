"""From an encoder and a list of trials to its error rates."""
