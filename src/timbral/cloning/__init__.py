"""How similar cloned voices are to their references, compared with real recordings."""
