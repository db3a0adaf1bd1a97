"""Encoders: images in, features out; each owns its resize, normalisation and precision."""
