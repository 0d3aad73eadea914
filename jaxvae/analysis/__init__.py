"""What else can be known of a trained model? Estimates of one image that cost more than a bound.

- ``annealing``: log p(x) from below by annealed importance sampling, and from both sides on simulated images.
- ``hmc``: how its chains move.
- ``refined_posterior``: the best q(z|x) for one image; the gap split into approximation and amortisation;
  likelihood regret.
"""
