"""Networks folded for inference: the same vectors from fewer passes over memory."""
