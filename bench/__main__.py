"""`python -m bench`: the command `bench`, as launchers of several processes start it."""

from bench.cli import main

main()
