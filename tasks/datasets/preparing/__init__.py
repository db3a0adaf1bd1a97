"""From whole slides with annotations to a prepared folder: what there is, what is cut, and the graph of jobs."""
