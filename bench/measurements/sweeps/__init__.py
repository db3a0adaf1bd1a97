"""Sweeps: a generator is run on altered conditions, and what it makes is compared with what was asked of it."""
