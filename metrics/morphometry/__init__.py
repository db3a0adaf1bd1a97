"""Sizes, shapes and places of nuclei and regions, read off images and compared between generated and real patches."""
