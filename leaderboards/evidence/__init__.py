"""Which metrics deserve to rank: their correlation over generators with downstream gain, faithfulness and readers' scores."""
