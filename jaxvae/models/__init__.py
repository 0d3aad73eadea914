"""What is the mathematics of one image? Pure functions and modules; ``jax.vmap`` is the caller's.

- ``vae``: what is asked of every model, and the one with one level of latents. ``two_layers``: the one with
  two. ``ladder/``: the one with any number of them, on maps. ``draws``: what there is to know of latents
  that were drawn.
- ``build``: which model and objective a configuration stands for; an experiment's own.
- ``likelihoods``: p(x|z). ``posteriors``: q(z|x). ``priors``: p(z).
- ``distributions``: densities and draws. ``rates``: KL divergences.
- ``objectives/``: what is maximised, and the importance-weighted bound.
- ``networks``, ``convolution``: the encoders and decoders that come with the package. ``same_convolution``:
  kernels of 3x3 that CPUs can train inside of loops.
- ``stock_modules``: how modules of other libraries become part of a model.
- ``preprocessing``: from a stored image to what the model sees.
- ``noise``: random numbers from a key.
- ``input_checks``: what may be given to a model, and what is said about anything else.

Knows no devices, files or clocks.
"""
