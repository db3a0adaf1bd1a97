"""Precision, recall, density and coverage over nearest neighbours, and the neighbour search that they share."""
