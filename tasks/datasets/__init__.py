"""Datasets: conditions and real patches, split by slide."""
