"""The demo: the whole job on the voices that come with timbral."""
