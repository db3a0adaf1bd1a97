"""Files from outside, and atomic writing: names, regular files alone, JSON, TOML, CSV, text, images, arrays, tensors.

Nothing here depends on what a file is for.
"""
