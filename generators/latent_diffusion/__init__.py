"""Latent diffusion on class maps, with raw or embedded crops as prompts (HeteroTissue-Diffuse): `ldm-*`."""
