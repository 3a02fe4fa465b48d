"""What several encoders are made of; everything is time-major, (B, F, C)."""
