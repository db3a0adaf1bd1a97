"""The metrics that compare what is generated with what is real as distributions: `--metrics distribution`."""

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
