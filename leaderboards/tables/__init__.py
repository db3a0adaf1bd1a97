"""Tables as a function of result records: reading and checks, ranks, ties, papers' layouts, formats."""
