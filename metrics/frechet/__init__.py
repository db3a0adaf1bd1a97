"""The Fréchet distance, at the n at hand and extrapolated to infinitely many slides."""
