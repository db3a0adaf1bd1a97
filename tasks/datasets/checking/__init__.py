"""What `bench data check` finds in a folder: its images, classes, sources and splits, what is wrong, and the next command."""
