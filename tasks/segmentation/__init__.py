"""The tissue segmentation tasks `cam16-seg`, `panda-seg`, `tcga-seg` and `region-seg`, and the classes that each means.

What the task of nuclei also uses belongs to tasks/training.py.
"""
