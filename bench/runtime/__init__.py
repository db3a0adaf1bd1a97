"""The process that code runs in: device, precision, and imports that need help."""
