"""The latent diffusions `ldm-semantic`, `ldm-prompt` and `ldm-embed`: one first stage, three ways to condition the denoiser.

What other families could use belongs to generators/diffusion.
"""
