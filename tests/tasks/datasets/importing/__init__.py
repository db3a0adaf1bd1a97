"""Tests of the importing of layouts, through the command line."""
