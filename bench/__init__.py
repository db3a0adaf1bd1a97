"""The harness: data types, registry, job graph, store, measurements, statistics and result records. Imports no torch."""
