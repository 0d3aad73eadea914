"""What is there to know of a trained model? Each analysis is a function of a context, in a file of its own.

- ``evaluate``: the scores of a run, and the analyses that were asked for. ``options``: what can be asked for.
- ``context``: what every analysis is given, and what an analysis is.
- ``belief``: can this NLL be believed? ``scores``: the scores of every image, in a file.
- ``latents``: what does each latent do? ``groups``: and each group of a ladder? ``information``: how much do
  latents say about images?
- ``ex_post``: how good would it be with another prior? ``gaussian_mixture``: fits one.
- ``annealed_scores``: a run's NLL by annealing, and its error. ``gaps``: the gap split into approximation and
  amortisation, and likelihood regret. ``one_image/``: the mathematics of both.
- ``writing``: may a result be written there?
"""
