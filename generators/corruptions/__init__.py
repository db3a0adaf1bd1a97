"""Corruptions: controls that show the test patches made worse in one way, to a stated strength, for `bench sensitivity`.

What changes pixels is in `pixels`, what exchanges whole patches in `patches`. No networks belong here.
"""
