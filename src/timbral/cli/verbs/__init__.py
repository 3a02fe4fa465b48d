"""The verbs, one file each: a function `run` whose parameters are the verb's options."""
