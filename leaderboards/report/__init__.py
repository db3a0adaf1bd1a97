"""The report: a static site of result records and patches that works from a file, without a network."""
