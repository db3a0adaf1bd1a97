"""The harness: nouns, registry, cache, the steps of a run, statistics and result lines. No torch, no plug-in by name."""
