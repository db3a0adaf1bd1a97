"""Encoders that need no download: texture, stain, random filters, and a network trained on phantom tissue."""
