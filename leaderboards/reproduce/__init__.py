"""Making a run again, in part or whole, and comparing it with its manifest (`bench verify`)."""
