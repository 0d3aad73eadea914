"""What is there to know of a trained model? Each analysis is a function of a context, in a file of its own.

- ``evaluate``: the scores of a run, and the analyses that were asked for. ``options``: what can be asked for.
- ``context``: what every analysis is given, and what an analysis is.
- ``belief``: can this NLL be believed? ``scores``: the scores of every image, in a file.
- ``latents``: what does each latent do? ``information``: how much do latents say about images?
- ``annealing``: log p(x) from below by annealed importance sampling, and from both sides on simulated images.
  ``hmc``: how its chains move. ``annealed_scores``: both, of a run.
- ``refined_posterior``: the best q(z|x) for one image. ``gaps``: the gap split into approximation and
  amortisation, and likelihood regret, of a run.
- ``writing``: may a result be written there?
"""
