"""Any local folder of a diffusers pipeline as a generator: what a folder may hold, how conditions become arguments of a
pipeline, and the calls, one random generator for each image."""
