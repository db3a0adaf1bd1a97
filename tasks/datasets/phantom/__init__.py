"""Procedural tissue: the embedded datasets, made from seeds alone. It reads no file and never stands in for real data."""
