"""What can be known of one image that costs more than a bound? ``jax.vmap`` is the caller's.

- ``annealing``: log p(x) from below by annealed importance sampling, and from both sides on simulated images.
  ``hmc``: how its chains move.
- ``refined_posterior``: the best q(z|x) for the image; the gap split into approximation and amortisation;
  likelihood regret.
- ``weights``: how many of several weights count.

Knows models alone, as ``jaxvae.models`` does.
"""
