"""Files that are whole or absent, disks and object stores, processors, processes, progress."""
