"""Variational autoencoders in JAX: exact, fast, and impossible to lose."""
