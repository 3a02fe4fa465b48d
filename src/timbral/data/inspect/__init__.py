"""What a corpus holds, and what looks wrong in it."""
