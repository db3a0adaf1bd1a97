"""Generator adapters: one file per family, each entering through the entry-point group `bench.generators`."""
