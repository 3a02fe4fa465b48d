"""The HTTP service: a thin shell over the Embedder, a gallery and a calibration."""
