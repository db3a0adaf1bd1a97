"""The metrics that compare what is generated with what is real as distributions: `--metrics distribution`."""

DISTRIBUTION = (
    "fd",
    "fd-inf",
    "fd-pca16",
    "kid",
    "cmmd",
    "is",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "fls",
    "stain",
)
