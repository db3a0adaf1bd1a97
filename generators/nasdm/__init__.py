"""Semantic diffusion on types and edges of nuclei (SDM, NASDM, DiffMix): `nasdm`."""
