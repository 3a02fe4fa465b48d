"""Export encoders for other runtimes, as graphs from waveforms to vectors."""
