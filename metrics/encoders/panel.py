"""Named panels of encoders."""

EMBEDDED = ("texture", "random-conv", "phantom-cnn")
