"""`nasdm`: semantic diffusion in pixels on typed nuclei and their edges.

What other families could use belongs to generators/diffusion; sampled layouts to generators/mask_diffusion.
"""
