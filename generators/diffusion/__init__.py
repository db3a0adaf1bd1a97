"""What families of diffusion models share: schedules, samplers, the training loop, weight files. No plug-in."""
