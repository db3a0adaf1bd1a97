"""The metrics that compare generated and real patches as distributions: `--metrics distribution`."""

DISTRIBUTION = (
    "fd",
    "fd-inf",
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
