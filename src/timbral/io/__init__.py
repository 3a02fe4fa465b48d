"""Files (always complete or absent), object stores, processors, processes, progress."""
