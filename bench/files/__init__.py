"""Reading of files from outside, and atomic writing: images, TOML, text. Nothing here depends on what a file is for."""
