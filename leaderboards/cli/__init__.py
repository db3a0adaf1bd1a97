"""The commands of this folder: options and output, and no computation of their own."""
