"""Enrolled voices: a database of them, what may enter it, and the search for who is in it."""
