"""Downstream tasks: a model is trained on a training mix of real and generated patches and scored on real test patches."""
