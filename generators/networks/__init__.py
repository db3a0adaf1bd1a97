"""Network definitions and assemblies that no library ships as one piece. Imports torch: import it inside functions."""
