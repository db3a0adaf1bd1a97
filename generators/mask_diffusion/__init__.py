"""`nasdm-masks`: a layout generator, diffusion over class maps and instances.

It does not use images. What other families could use belongs to generators/diffusion.
"""
