"""Networks that no library has. Imports torch: import it inside functions."""
