"""Commands about data, one small file each, imported only when the command runs."""
