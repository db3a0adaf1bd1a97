"""Segmentation of tissue regions by a DeepLabV3+: the tasks and their scores."""
