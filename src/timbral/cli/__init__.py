"""The command line: `main` reads the verb, `table` lists them, `verbs` has one file for each."""
