"""The jobs of a run up to features: data, prompts, training, generation, encoding. No number is computed here."""
