"""How weights of others become networks: one module a library, none named like the library that it wraps.

Which encoders there are, and from where, is listed in metrics/encoders/panel.py alone.
"""
