"""How does a run end? Its last state is tested, or, with validation images, the best one by their bound.

- ``best``: which checkpoint is the best so far. ``final``: what is scored when training has ended.
"""
