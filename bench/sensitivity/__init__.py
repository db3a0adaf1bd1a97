"""What metrics claim to see and whether they do: the claims of cards, and the flags that `bench sensitivity` measured.

The measurement is in `leaderboards/sensitivity`; lists, cards and tables read its results here.
"""
