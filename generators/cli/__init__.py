"""Commands that belong to generators, one file for each."""
