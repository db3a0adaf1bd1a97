"""Settings of the process: device, precision, and imports that need a workaround."""
