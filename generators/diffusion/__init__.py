"""What the diffusion families share: schedules and samplers, one training loop, augmentation, weight files, checks.

Adapters, networks and configs of a family belong to the package of the family.
"""
