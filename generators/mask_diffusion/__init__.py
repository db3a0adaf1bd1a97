"""Synthetic layouts of nuclei by diffusion (the mask generator of NASDM++): `nasdm-masks`."""
