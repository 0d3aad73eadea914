"""What are the other ways to train the same model, each written as its own community would?

One module for each; ``benchmarks.rivals`` times them beside the trainer.
"""
