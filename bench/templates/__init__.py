"""New plug-ins: one text for each kind (`*.template`), and the module that writes a package of two files from it.

Texts have `$name`, `$module` and `$klass`. Each passes `bench check` as it is written.
"""

from bench.templates.writing import WORDS, write_plugin

__all__ = ["WORDS", "write_plugin"]
