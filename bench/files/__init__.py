"""Files from outside, and atomic writing: names, images, TOML, text. Nothing here depends on what a file is for."""
