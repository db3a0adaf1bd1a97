"""Reading of files from outside: regular files alone, JSON, TOML, images, arrays, tensors; and atomic writing.

Nothing here depends on what a file is for.
"""
