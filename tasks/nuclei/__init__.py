"""The task `lizard-nuclei`: nuclei found, outlined and typed. What other tasks also use belongs to tasks/training.py."""
