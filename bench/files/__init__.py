"""Files from outside, and files that are written whole: images, TOML, text. Nothing here knows what a file is for."""
