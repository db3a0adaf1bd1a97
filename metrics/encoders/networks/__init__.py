"""Networks that no library contains. Imports torch: import it inside functions."""
