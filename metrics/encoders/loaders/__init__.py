"""Published networks by the library that defines them, one file for each, and the reading of checkpoints."""
