"""Who is who in recordings without labels."""
