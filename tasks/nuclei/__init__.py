"""Segmentation and typing of nuclei by a HoVer-Net: the task, its network, its training and its scores."""
