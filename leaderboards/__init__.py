"""Tables that are a pure function of result records."""
