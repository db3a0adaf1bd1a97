"""Recomputing a run, in part or whole, and comparing it with its manifest (`bench verify`)."""
