"""Two sets of result records compared in pairs of slides and seeds, and files of records joined in one."""
