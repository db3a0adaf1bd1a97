"""Tests of the commands of the package of tasks."""
