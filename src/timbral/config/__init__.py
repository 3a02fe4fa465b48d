"""The config of a training run."""
