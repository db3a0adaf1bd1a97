"""What the diffusion families share: schedules and samplers, one training loop, augmentation, weight files, refusals.

No adapter, no network and no number of one family lives here.
"""
