"""Whether a generator has become worse than its baseline: policy, verdict, reports, and how a baseline is moved."""
