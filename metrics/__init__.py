"""Metrics over features of real and generated patches, one file each."""
