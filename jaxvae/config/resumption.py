"""Which fields may have other values when a run goes on?"""

CHOOSES_THE_BEST = frozenset({"eval.interim_importance_samples"})
"""Fields that may differ only without ``data.validation``: bounds of more samples are better, so that those
of two numbers of samples cannot say which checkpoint is the best."""

WHICH_PIXELS = frozenset(
    {
        "data.name",
        "data.dir",
        "data.image_size",
        "data.resize",
        "data.color",
        "data.test_fraction",
        "data.background",
        "data.sixteen_bit",
        "data.unreadable",
    }
)
"""Fields that only decide which pixels there are, by a path for example."""

MAY_DIFFER = WHICH_PIXELS | {
    "data.placement",
    "data.workers",
    "code.file",
    "code.accept_changed",
    "train.steps",
    "train.steps_per_call",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.checkpoints_kept",
    "train.devices",
    "train.non_finite",
    "train.write_errors",
    "eval.importance_samples",
    "eval.interim_importance_samples",
    "eval.batch_size",
    "eval.grid",
}
"""Fields that may differ when a run continues: none changes what a given finite step computes, apart
from ``train.steps`` through the learning-rate schedule, which the run then says. Those of ``WHICH_PIXELS``
would, but a checkpoint knows the SHA-256 of all pixels, and those must be the same."""
