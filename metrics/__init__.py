"""Metrics over features of real and painted patches, one file each."""
