"""What a run was made from: the manifest, the environment, digests of patches, weights and code."""
