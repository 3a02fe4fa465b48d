"""Read weights of other projects, without running any of their code."""
