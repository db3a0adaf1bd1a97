"""Tables, comparisons, gates and reports as pure functions of result records, and the suites that make records."""
