"""What metrics see: corruptions of real test patches, the responses of measures to them, and what scores are worth in them."""
