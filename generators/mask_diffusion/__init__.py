"""`nasdm-masks`: a layout generator, diffusion over class maps and instances.

It never reads an image. What other families could use belongs to generators/diffusion.
"""
