"""Commands that belong to a metric, one file for each."""
