"""Quality of recordings: net speech, level, noise, bandwidth, channels, and risks."""
