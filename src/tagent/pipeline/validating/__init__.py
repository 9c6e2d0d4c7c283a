"""What is checked of a definition, one file for each kind of mistake. Nothing of the definition is run."""
