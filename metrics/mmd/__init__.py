"""Maximum mean discrepancies between features: KID and CMMD on one module of kernel statistics (kernel.py)."""
