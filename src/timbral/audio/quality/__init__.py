"""What a recording is good for: net speech, level, noise, bandwidth, channels, and risks."""
