"""The tissue segmentation tasks `cam16-seg` and `panda-seg`.

What the task of nuclei also uses belongs to tasks/training.py.
"""
