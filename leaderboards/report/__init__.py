"""The report: a static site of result lines and patches that works from a file, without a network."""
