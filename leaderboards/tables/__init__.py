"""Tables as functions of result records: reading and checks, ranks, ties, layouts of papers, formats."""
