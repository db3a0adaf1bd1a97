"""Makes a data folder of the layouts that people have: one module for each layout, and what all of them share.

A layout says which image has which map (`pairing.Pairing`); `palette` makes classes of the values of maps, `columns` finds
sampling units and splits, `writing` makes the folder. Nothing here is read by a run: a run reads the folder that was made.
"""
