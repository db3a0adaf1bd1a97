"""Fuzzed inputs for every door that reads a file from outside: valid files, mutations, doors, and the processes that try them.

`benchmarks/fuzz.py` is the command. Whether a number is right is tested elsewhere.
"""
