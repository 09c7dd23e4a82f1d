"""Numerical core of the diffusion engines: samplers as pure functions over any denoiser."""
