"""Datasets: conditions and real patches, split by slide. Nothing here generates or measures images."""
