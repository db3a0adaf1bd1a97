"""Class maps of slides that nobody has annotated: cells of tissue are clustered by features, and a cluster is a class."""
