"""Provenance of a run: the manifest, the environment, digests of patches, weights and code."""
