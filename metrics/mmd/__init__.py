"""Maximum mean discrepancies between features: by a cubic kernel (KID) and by a Gaussian one (CMMD)."""
