"""The metrics that compare generated and real patches as distributions: `--metrics distribution`."""

DISTRIBUTION = (
    "fd",
    "fd-inf",
    "fd-pca16",
    "kid",
    "cmmd",
    "mind",
    "is",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "fls",
    "stain",
)
