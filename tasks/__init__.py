"""Downstream tasks: a model is trained on a diet of real and painted patches and scored on real test patches."""
