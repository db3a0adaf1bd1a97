"""What is particular to histology: nuclei, optical density, augmentation, sampling units, training mixes. No torch."""
