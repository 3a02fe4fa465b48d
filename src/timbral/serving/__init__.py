"""The HTTP service: a thin layer over the Embedder, a gallery and a calibration."""
