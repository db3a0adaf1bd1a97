"""The commands of this package: options and output. Computations belong to the other modules."""
