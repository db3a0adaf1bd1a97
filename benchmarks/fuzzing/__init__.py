"""Fuzzed inputs for every door that reads a file from outside: valid files, mutations, doors, and the processes that try them.

`benchmarks/fuzz.py` is the command. Nothing here judges whether a number is right: that is the business of the tests.
"""
