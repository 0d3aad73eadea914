"""Which mistakes must the tests notice? One line of text and its replacement each; ``benchmarks.mutants`` makes
them."""

# A mutant a line, however long.
# ruff: noqa: E501
# fmt: off

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake."""

    area: str
    name: str
    """What is wrong then."""
    file: str
    text: str
    """What stands in the file, once."""
    replacement: str
    tests: tuple[str, ...]
    """Files, or tests in them, that are meant to notice; from tests/."""


RESIDUAL = "models/test_residual.py"
BEST, SPLIT = "runs/test_best.py", "data/test_validation_images.py"
STEP, RUN = "training/test_step_by_hand.py", "runs/test_run_by_hand.py"
EIGHT = f"{STEP}::test_eight_steps_are_those_written_out"
FLIPS = f"{STEP}::test_half_of_the_visits_are_mirrored_whatever_image_position_step_and_noise"
CONV = f"{RUN}::test_a_convolutional_model_is_scored_as_by_hand_and_test_images_never_mirrored"
SCORES = f"{RUN}::test_evaluations_are_of_the_averaged_weights_and_of_every_test_image"
PICTURES = f"{RUN}::test_pictures_are_of_the_averaged_weights_with_pairs_side_by_side"
LINES = f"{RUN}::test_a_line_is_the_mean_over_the_steps_since_the_last_multiple_of_log_every"
SPEEDS = f"{RUN}::test_speeds_are_of_this_processs_steps"
LAYERS = "models/test_networks.py::test_every_layer_has_its_width_and_the_decoder_mirrors_the_encoder"
BOUNDS = "config/test_bounds.py::test_each_bound_lets_in_what_is_just_right_and_nothing_beyond"
BINARISED = f"{STEP}::test_binarisation_is_drawn_anew_at_every_visit_and_apart_from_the_posteriors_noise"
FINITE = f"{STEP}::test_a_gradient_that_is_not_finite_under_a_finite_loss_is_noticed"
LOW = "models/test_networks.py::test_in_bfloat16_networks_compute_and_all_that_they_say_is_float32"
NOISE = f"{STEP}::test_noise_is_standard_normal_of_its_own_for_every_image_and_step"
LEVEL_MASS = "models/test_logistics.py::test_a_discretised_logistic_is_the_mass_of_each_level"
MIXTURE = "models/test_logistics.py::test_a_mixture_in_colour_is_the_one_written_out"
CONTINUOUS = "models/test_likelihoods.py::test_the_continuous_bernoulli_is_its_closed_form"
REPLAY = f"{RUN}::test_a_replayed_step_shows_its_loss_its_gradient_and_its_images"
SEED = f"{STEP}::test_the_seed_decides_weights_order_and_every_draw"
WRITTEN_OUT = "models/test_objectives_by_hand.py"
TRAINING = "training/test_objectives_in_training.py"
CYCLES = f"{TRAINING}::test_the_weight_rises_in_cycles_and_stays"
DEVICES = f"{TRAINING}::test_training_is_the_same_on_one_device_and_on_four"
ROUTES = "models/test_gradient_estimators.py::test_a_model_that_cannot_keep_gradients_to_routes_is_refused"
BOTH = "config/test_bounds.py::test_pixels_are_binarised_or_dequantised_and_never_both"
LEDGER = f"{RUN}::test_scoring_a_finished_run_again_loses_nothing_and_adds_its_own_time"
RESUME = "config/test_changes.py::test_what_changes_training_is_refused_when_a_run_goes_on_and_nothing_else"
LEAPFROG = "analysis/test_hmc.py::test_leapfrogs_lead_back_preserve_volume_and_energy_to_second_order"
INVARIANT = "analysis/test_hmc.py::test_a_move_leaves_the_density_between_the_two_invariant"
ANNEALED = "analysis/test_annealing.py"
BOTH_SIDES = f"{ANNEALED}::test_a_simulated_image_is_between_its_bounds"
PILOTS = f"{ANNEALED}::test_step_sizes_are_of_pilots_and_backward_of_the_forward_chains"
ONE_RISE = f"{ANNEALED}::test_one_temperature_is_importance_sampling"
REFINED = "analysis/test_refined_posterior.py"
FRESH = f"{REFINED}::test_both_posteriors_are_scored_with_one_fresh_noise"
DIAGONAL = f"{REFINED}::test_a_diagonal_posterior_ends_with_the_known_gap"
GIVEN = "models/test_given_latents.py"
POSTERIORS, PRIORS = "models/test_posteriors.py", "models/test_priors.py"
MASKED = f"{POSTERIORS}::test_a_masked_network_depends_on_the_latents_before_and_on_all_of_them"
INVERTED = f"{POSTERIORS}::test_a_flow_is_inverted_and_its_determinant_is_that_of_its_derivative"
COUPLED = f"{PRIORS}::test_a_coupling_flow_is_inverted_and_its_determinant_is_that_of_its_derivative"
ACTIVE = f"{POSTERIORS}::test_active_units_of_a_flow_are_counted_without_the_noise_of_their_draws"

INFORMATION = "analysis/test_latents.py::test_mutual_information_is_that_of_quadrature"


def _area(area: str, file: str, *mutants: tuple[str, str, str, str]) -> list[Mutant]:
    """Mutants of one file: each a name, the text, its replacement and the tests, separated by spaces."""
    path = f"jaxvae/{file}.py"
    return [
        Mutant(area, name, path, text, other, tuple(tests.split())) for name, text, other, tests in mutants
    ]


MUTANTS = [
    *_area(
        "mathematics",
        "models/distributions",
        ("KL without its mean", "return self.mean**2 + (jnp", "return 0 * self.mean + (jnp", "models/test_distributions.py"),
        ("KL of half the log-scale", "twice = jnp.broadcast_to(2 *", "twice = jnp.broadcast_to(1 *", "models/test_distributions.py"),
        ("KL is twice itself", "return 0.5 * jnp.sum(self._twice", "return 1.0 * jnp.sum(self._twice", "models/test_distributions.py"),
        ("KL loses digits near 1", "(jnp.expm1(twice) - twice)", "(jnp.exp(twice) - 1 - twice)", "models/test_distributions.py"),
        ("a Gaussian's density without 2 pi", "jnp.sum(standardised**2) + x.size * math.log(2 * math.pi)", "jnp.sum(standardised**2)", "models/test_distributions.py"),
        ("a shared scale is counted once", "* (x.size // self.log_scale.size)", "* 1", "models/test_distributions.py"),
        ("a draw uses the variance", "self.mean + jnp.exp(self.log_scale) *", "self.mean + jnp.exp(2 * self.log_scale) *", "models/test_distributions.py"),
        ("a draw does not move with its scale", "self.mean + jnp.exp(self.log_scale) *", "self.mean + jax.lax.stop_gradient(jnp.exp(self.log_scale)) *", EIGHT),
        ("log-scales are bounded by 4", "LOG_SCALE_BOUND = 8.0", "LOG_SCALE_BOUND = 4.0", "models/test_networks.py::test_the_encoder_gives_a_mean_and_a_bounded_log_scale"),
    ),
    *_area(
        "mathematics",
        "models/objectives/bounds",
        ("the bound is a sum, not a mean", "largest + jnp.log(total / count)", "largest + jnp.log(total)", CONV),
        ("every importance sample is the same", "jax.random.fold_in(key, k)", "jax.random.fold_in(key, 0 * k)", CONV),
        ("the largest weight is not made up for", "total * before + weight,", "total + weight,", CONV),
        ("one importance sample too few", "jax.lax.fori_loop(0, samples,", "jax.lax.fori_loop(1, samples,", CONV),
        ("the distortion is of the last draw", "log_likelihoods + log_likelihood, differences", "log_likelihood, differences", CONV),
        ("the first draw's rate stands for all", "s + (now - then), differences", "s, differences", "models/test_seams.py"),
    ),
    *_area(
        "mathematics",
        "models/networks/dense",
        ("SiLU computes GELU", '"silu": jax.nn.silu', '"silu": jax.nn.gelu', "models/test_networks.py::test_activations_are_their_formulas"),
        ("ReLU leaks", '"relu": jax.nn.relu', '"relu": jax.nn.leaky_relu', "models/test_networks.py::test_activations_are_their_formulas"),
        ("tanh computes a sigmoid", '"tanh": jnp.tanh', '"tanh": jax.nn.sigmoid', "models/test_networks.py::test_activations_are_their_formulas"),
        ("dense layers without biases", "return self.matrix @ x + self.bias", "return self.matrix @ x", "models/test_networks.py::test_the_decoder_starts_from_its_output_bias"),
        ("Glorot's bound is He's", "bound = math.sqrt(6 / (n_in + n_out))", "bound = math.sqrt(6 / n_in)", SEED),
        ("all layers start alike", "key=key)\n            for i, (n_in", "key=keys[0])\n            for i, (n_in", SEED),
        ("the activation comes before the first layer too", "layer(x if i == 0 else ACT", "layer(x if i < 0 else ACT", "models/test_networks.py::test_an_mlp_is_affine_maps_with_the_activation_between"),
        ("an MLP's bfloat16 is not cast back", "ACTIVATIONS[self.activation](x))\n        return x.astype(jnp.float32)", "ACTIVATIONS[self.activation](x))\n        return x", LOW),
        ("the decoder's output bias is lost", "eqx.tree_at(lambda m: m.layers[-1].bias, mlp, output_bias.reshape(-1))", "mlp", "models/test_networks.py::test_the_decoder_starts_from_its_output_bias"),
    ),
    *_area(
        "mathematics",
        "models/networks/convolutional",
        ("a convolutional decoder's bfloat16 is not cast back", "        return x.astype(jnp.float32)\n\n\ndef halved", "        return x\n\n\ndef halved", LOW),
        ("odd sides are padded at their beginning", "((0, height % 2), (0, width % 2), (0, 0))", "((height % 2, 0), (width % 2, 0), (0, 0))", CONV),
        ("odd sides are cut at their beginning", "kernel)[: shape[0], : shape[1]]", "kernel)[-shape[0] :, -shape[1] :]", CONV),
        ("a convolutional encoder without activations", "ACTIVATIONS[self.mlp.activation](x + jnp.broadcast_to(convolution.bias, x.shape))", "x + jnp.broadcast_to(convolution.bias, x.shape)", CONV),
        ("a convolutional decoder without activations", "x = ACTIVATIONS[self.mlp.activation](x).astype(", "x = x.astype(", CONV),
        ("kernels start as those of one pixel", "SIZE**2 * inner + SIZE**2 // 4 * outer", "inner + outer", "models/test_networks.py::test_convolutions_start_glorot_uniform_by_what_meets_in_a_pixel"),
    ),
    *_area(
        "mathematics",
        "models/vae",
        ("reconstructions are of random latents", ").noiseless).mean", ").noiseless * 0).mean", PICTURES),
    ),
    *_area(
        "mathematics",
        "models/convolution",
        ("patches are transposed", "blocks[:-1, 1:], blocks[1:, :-1], blocks[1:, 1:]], axis", "blocks[1:, :-1], blocks[:-1, 1:], blocks[1:, 1:]], axis", "models/test_convolution.py"),
        ("overlapping patches are not all added", "padded[0] + padded[1] + padded[2] + padded[3]", "padded[0] + padded[1] + padded[2]", "models/test_convolution.py"),
        ("the native kernel is not flipped", "jnp.flip(kernel, (0, 1))", "kernel", "models/test_convolution.py"),
        ("a kernel's rows and columns are mixed", "outer, 2, 2, 2, 2, inner).swapaxes(2, 3)", "outer, 2, 2, 2, 2, inner).swapaxes(1, 3)", "models/test_convolution.py"),
    ),
    *_area(
        "randomness",
        "models/noise",
        ("a rotation of Threefry is wrong", "(17, 29, 16, 24)", "(17, 29, 16, 23)", "models/test_noise.py"),
        ("normal draws are uniform", "math.sqrt(2) * jax.lax.erf_inv(uniform)", "math.sqrt(3) * uniform", "models/test_noise.py"),
        ("normal draws have the wrong spread", "(math.sqrt(2) * jax.lax.erf_inv", "(1.4 * jax.lax.erf_inv", f"{STEP}::test_normal_draws_are_the_quantiles_of_threefrys_words"),
        ("normal draws share their lowest bit with the sign", "(words >> 9)", "(words >> 10)", "models/test_noise.py"),
        ("every second word repeats", "_threefry(_words_of(key), (blocks, jnp.zeros_like(blocks))))[:count]", "_threefry(_words_of(key), (blocks // 2, jnp.zeros_like(blocks))))[:count]", "models/test_noise.py"),
        ("folding in ignores the number", "data.astype(jnp.uint32)))\n", "0 * data.astype(jnp.uint32)))\n", "models/test_noise.py"),
    ),
    *_area(
        "randomness",
        "training/keys",
        ("every stream ignores the seed", "root = jax.random.key(seed, impl", "root = jax.random.key(0, impl", "training/test_keys.py"),
        ("two streams are one", "    FLIPS = 8", "    FLIPS = 1", FLIPS),
        ("every example has one key", "jax.vmap(noise.fold_in, in_axes=(None, 0))(key, indices)", "jax.vmap(noise.fold_in, in_axes=(None, 0))(key, 0 * indices)", "training/test_keys.py"),
        ("streams are renumbered", "    TEST_BINARIZATION = 4\n", "    TEST_BINARIZATION = 9\n", "training/test_keys.py"),
    ),
    *_area(
        "randomness",
        "training/state",
        ("initial weights ignore the seed", "key=stream(config.seed, Stream.INITIAL_WEIGHTS)", "key=stream(0, Stream.INITIAL_WEIGHTS)", SEED),
        ("initial weights draw from the posterior's stream", "Stream.INITIAL_WEIGHTS)", "Stream.POSTERIOR)", SEED),
    ),
    *_area(
        "randomness",
        "training/step",
        ("binarisation draws from the posterior's stream", "else Stream.BINARIZATION\n", "else Stream.POSTERIOR\n", BINARISED),
        ("flips draw from the posterior's stream", "(Stream.POSTERIOR, pixels, Stream.FLIPS)", "(Stream.POSTERIOR, pixels, Stream.POSTERIOR)", FLIPS),
        ("training's streams ignore the seed", "TrainKeys(*(stream(config.seed, name)", "TrainKeys(*(stream(0, name)", SEED),
        ("noise is the same at every step", "fold_in_each(jax.random.fold_in(key, step), positions)", "fold_in_each(jax.random.fold_in(key, 0 * step), positions)", EIGHT),
        ("noise is of the next step", "fold_in_each(jax.random.fold_in(key, step), positions)", "fold_in_each(jax.random.fold_in(key, step + 1), positions)", EIGHT),
        ("one noise for a whole batch", "return x, each(keys.posterior)", "return x, each(keys.posterior)[jnp.zeros_like(positions)]", NOISE),
        ("noise belongs to the image, not the position", "return x, each(keys.posterior)", "return x, fold_in_each(jax.random.fold_in(keys.posterior, step), indices)", EIGHT),
        ("a device's noise is that of the first", "positions = jax.lax.axis_index(axis_name) * local +", "positions = 0 * jax.lax.axis_index(axis_name) * local +", EIGHT),
        ("dequantisation noise is fixed per image", 'if data.binarization == "static" else each(keys.pixels)', 'if data.binarization in ("static", "none") else each(keys.pixels)', f"{STEP}::test_dequantisation_is_drawn_anew_at_every_visit"),
        ("dynamic binarisation is fixed per image", 'if data.binarization == "static" else each(keys.pixels)', 'if data.binarization in ("static", "dynamic") else each(keys.pixels)', BINARISED),
        ("static binarisation is drawn anew", 'draws = fold_in_each(keys.pixels, indices) if data.binarization == "static" else each(keys.pixels)', "draws = each(keys.pixels)", BINARISED),
        ("flips never happen", "if data.horizontal_flips:", "if False:", FLIPS),
        ("flips keep one draw for ever", "jax.vmap(flip_half)(x, each(keys.flips))", "jax.vmap(flip_half)(x, fold_in_each(keys.flips, positions))", FLIPS),
        ("flips belong to the image", "jax.vmap(flip_half)(x, each(keys.flips))", "jax.vmap(flip_half)(x, fold_in_each(jax.random.fold_in(keys.flips, step), indices))", FLIPS),
    ),
    *_area(
        "models/preprocessing",
        "models/preprocessing",
        ("flips turn images upside down", "x[:, ::-1], x)", "x[::-1], x)", FLIPS),
        ("a quarter of the images is mirrored", ">> 31 == 1", ">> 30 == 3", FLIPS),
        ("pixels are divided by 256", "pixels.astype(jnp.float32) / 255", "pixels.astype(jnp.float32) / 256", "models/test_preprocessing.py"),
        ("127 counts as white", "(pixels > 127)", "(pixels > 126)", "models/test_preprocessing.py"),
        ("dequantised pixels are divided by 255", "r.astype(jnp.float32) / 65536) / 256", "r.astype(jnp.float32) / 65536) / 255", "models/test_preprocessing.py"),
        ("dequantisation adds one draw to every pixel", "(levels + r.astype(jnp.float32) / 65536)", "(levels + r[0].astype(jnp.float32) / 65536)", "models/test_preprocessing.py"),
        ("black pixels can become white", "(r == flat) & (d < flat)", "(r == flat)", "models/test_preprocessing.py"),
        ("pixels share their draws", "jnp.uint8).reshape(-1)[: pixels.size]\n    d", "jnp.uint8).reshape(-1)[: pixels.size] // 2 * 2\n    d", "models/test_preprocessing.py"),
    ),
    *_area(
        "training/order",
        "training/order",
        ("the order ignores the seed", "Philox(key=[seed, epoch])", "Philox(key=[0, epoch])", "training/test_order.py"),
        ("every epoch has one order", "Philox(key=[seed, epoch])", "Philox(key=[seed, 0])", "training/test_order.py"),
        ("images are not shuffled", 'np.argsort(bits, kind="stable").astype(np.int32)', "np.arange(size, dtype=np.int32)", "training/test_order.py"),
        ("batches begin one image late", "first = start - epochs[0] * size", "first = start - epochs[0] * size + 1", "training/test_order.py"),
        ("the last partial batch is dropped", "epochs = range(start // size, (start + count - 1) // size + 1)", "start = start // (size // count * count) * size + start % (size // count * count) if count < size else start\n    epochs = range(start // size, (start + count - 1) // size + 1)", "training/test_order.py"),
    ),
    *_area(
        "training/order",
        "training/fused_steps",
        ("the order of training ignores the seed", "order.indices(config.seed, step", "order.indices(0, step", SEED),
        ("every call sees the first images", "step * batch, steps * batch, examples)", "0 * batch, steps * batch, examples)", EIGHT),
        ("every batch is one step late", "order.indices(config.seed, step * batch,", "order.indices(config.seed, (step + 1) * batch,", EIGHT),
        ("only a part of the images is ever seen", "steps * batch, examples)", "steps * batch, examples // batch * batch)", EIGHT),
        ("a call may be longer than its cadence", "for every in cadences if every < train.steps", "for every in cadences[:1] if every < train.steps", "training/test_call.py"),
    ),
    *_area(
        "training/order",
        "training/parallel",
        ("a batch is dealt out image by image", "array.reshape(rows, count, -1).swapaxes(0, 1)", "array.reshape(rows, -1, count).transpose(2, 0, 1)", "training/test_parallel.py"),
        ("gradients are summed over devices", "tree if jax.lax.psum(1, axis_name) == 1 else jax.lax.pmean(", "tree if jax.lax.psum(1, axis_name) == 1 else jax.lax.psum(", EIGHT),
        ("a fixed order forgets the devices' number", "return total / (len(stacked) * devices)", "return total / len(stacked)", EIGHT),
        ("a fixed order adds in no order", "stacked = stacked[0::2] + stacked[1::2]", "half = len(stacked) // 2\n            stacked = stacked[:half] + stacked[half:]", "training/test_step.py::test_in_a_fixed_order_every_number_of_devices_gives_the_same_bits"),
        ("stopping takes every device's word", "axis_name) > 0", "axis_name) == jax.lax.psum(1, axis_name)", "training/test_step.py::test_one_device_that_asks_to_stop_is_heard_by_all"),
    ),
    *_area(
        "training/step",
        "training/step",
        ("a gradient that is not finite is not noticed", "jnp.isfinite(norm) & jnp.isfinite(loss)", "jnp.isfinite(loss)", FINITE),
        ("a step that is not finite is kept", "ended = _choose((failed < 0) & (state.step == first), ended, state)", "pass", FINITE),
        ("a call after a failed one goes on", "_choose((failed < 0) & (state.step == first),", "_choose((failed < 0),", f"{STEP}::test_a_call_that_is_not_the_next_of_its_state_passes_it_on_unchanged"),
        ("the last step that failed is named", "jnp.where(finite | (failed >= 0), failed,", "jnp.where(finite, failed,", "training/test_step.py::test_a_step_that_is_not_finite_undoes_its_call_and_the_next_ones_pass_the_state_on"),
        ("the moving average is of the weights before the update", "update_average(average, model, state.step", "update_average(average, state.model, state.step", EIGHT),
        ("the moving average's step is one late", "model, state.step.astype(jnp.float32), decay)", "model, state.step.astype(jnp.float32) + 1, decay)", EIGHT),
        ("the reported learning rate is the next step's", "schedule(ended.step - 1)", "schedule(ended.step)", EIGHT),
        ("sums of the log are never emptied", "fresh = first % config.train.log_every == 0", "fresh = first == 0", EIGHT),
        ("sums of the log are emptied at every call", "fresh = first % config.train.log_every == 0", "fresh = first >= 0", EIGHT),
        ("a skipped step counts as taken", "lambda t: t.skipped, state.totals, state.totals.skipped + 1)", "lambda t: t.steps, state.totals, state.totals.steps + 1)", "training/test_step.py::test_a_step_that_is_skipped_changes_nothing_but_the_count"),
        ("the loss of the log is the ELBO's", "totals.loss + loss,", "totals.loss + terms.rate + terms.distortion,", EIGHT),
    ),
    *_area(
        "optimiser",
        "training/optimizer",
        ("the cosine ends in half the steps", "optax.cosine_decay_schedule(config.learning_rate, steps)", "optax.cosine_decay_schedule(config.learning_rate, steps // 2)", "training/test_optimizer.py::test_the_schedule_is_its_formula"),
        ("the cosine never ends at zero", "optax.cosine_decay_schedule(config.learning_rate, steps)", "optax.cosine_decay_schedule(config.learning_rate, steps, 0.01)", "training/test_optimizer.py::test_the_schedule_is_its_formula"),
        ("stages are of equal length", "((3 ** (i + 1) - 1) // 2)", "(410 * (i + 1))", "training/test_optimizer.py::test_stages_are_those_of_burda_et_al"),
        ("the last stage has the rate of the one before", "for i in range(7)]", "for i in range(6)]", "training/test_optimizer.py::test_stages_are_those_of_burda_et_al"),
        ("the warm-up begins at zero", "(t + 1) / max(1, config.warmup_steps)", "t / max(1, config.warmup_steps)", "training/test_optimizer.py::test_the_schedule_is_its_formula"),
        ("clipping scales small gradients up", "jnp.minimum(1.0, settings.clip_norm / norm)", "settings.clip_norm / norm", EIGHT),
        ("nothing is clipped", "jnp.minimum(1.0, settings.clip_norm / norm)", "jnp.ones(())", "training/test_optimizer.py"),
        ("clipping leaves the second moment alone", "(1 - decay) * (clipping * grad) ** power", "(1 - decay) * clipping * grad ** power", EIGHT),
        ("Adam's mean is not unbiased", "scale, least = rate * root / unbias1,", "scale, least = rate * root,", "training/test_optimizer.py"),
        ("Adam's square is not unbiased", "root = jnp.sqrt(unbias2)", "root = jnp.ones(())", "training/test_optimizer.py"),
        ("Adam's bias is of the step before", "jnp.asarray(state.count) + 1", "jnp.maximum(jnp.asarray(state.count), 1)", "training/test_optimizer.py"),
        ("epsilon is inside the root", "(jnp.sqrt(v) + least)", "jnp.sqrt(v + least**2)", "training/test_optimizer.py"),
        ("epsilon is not scaled with the root", "epsilon * root\n", "epsilon\n", "training/test_optimizer.py"),
        ("beta1 and beta2 change places", "(beta1, beta2)]", "(beta2, beta1)]", "training/test_optimizer.py"),
        ("the moving average is of constant decay", "jnp.minimum(decay, (1 + step) / (10 + step))", "decay", "training/test_optimizer.py::test_the_average_is_its_formula"),
        ("the moving average is the weights", "rate = 1 - jnp.minimum(decay,", "rate = 1 - 0 * jnp.minimum(decay,", "training/test_optimizer.py::test_the_average_is_its_formula"),
    ),
    *_area(
        "optimiser",
        "training/state",
        ("the moving average starts at zero", "jax.tree.map(jnp.copy, model) if keeps", "jax.tree.map(jnp.zeros_like, model) if keeps", EIGHT),
        ("the weights are evaluated, not their average", "self.model if self.average is None else self.average", "self.model", EIGHT),
    ),
    *_area(
        "evaluation",
        "runs/evaluation",
        ("padding counts as images", ".reshape(-1, *scores.shape[2:])[: self._count]", ".reshape(-1, *scores.shape[2:])", CONV),
        ("an error is the spread, not its mean's", "values.std(ddof=1) / math.sqrt(len(values)) if", "values.std(ddof=1) if", CONV),
        ("an error is of the whole population", "values.std(ddof=1)", "values.std()", CONV),
        ("bits are nats", "self._dimensions * math.log(2))", "self._dimensions)", CONV),
        ("bits of dequantised pixels are of [0, 1]", 'bits = 8 if self._config.data.dequantization == "uniform" else 0', "bits = 0", CONV),
        ("bits are of the ELBO", '"bits_per_dim": -log_likelihood.mean()', '"bits_per_dim": -elbo.mean()', CONV),
        ("the gap has the wrong sign", "gap, effective = log_likelihood - elbo,", "gap, effective = elbo - log_likelihood,", CONV),
        ("active units are those above a tenth", "ACTIVE_VARIANCE = 0.01", "ACTIVE_VARIANCE = 0.1", "runs/test_evaluate.py::test_active_units_are_those_whose_posterior_mean_varies_by_more_than_a_hundredth"),
        ("evaluation ignores the seed", "keys = tuple(stream(config.seed, name)", "keys = tuple(stream(0, name)", CONV),
        ("test noise is binarisation's", "(Stream.TEST_BINARIZATION, Stream.TEST_POSTERIOR, Stream.PICTURES)", "(Stream.TEST_BINARIZATION, Stream.TEST_BINARIZATION, Stream.PICTURES)", CONV),
        ("test images are mirrored", "        return jax.vmap(preprocess, in_axes=(0, 0, None))(\n            pixels, fold_in_each(keys[0], indices), self._config.data\n        )", "        x = jax.vmap(preprocess, in_axes=(0, 0, None))(pixels, fold_in_each(keys[0], indices), self._config.data)\n        return x[:, :, ::-1] if self._config.data.horizontal_flips else x", CONV),
        ("samples share one draw", "fold_in_each(keys[2], jnp.arange(", "fold_in_each(keys[2], 0 * jnp.arange(", PICTURES),
        ("reconstructions stand before their images", "jnp.stack([x, jax.vmap(model.reconstruct)(x)], axis=1)", "jnp.stack([jax.vmap(model.reconstruct)(x), x], axis=1)", PICTURES),
        ("reconstructions are torn from their images", "jnp.stack([x, jax.vmap(model.reconstruct)(x)], axis=1)", "jnp.stack([x, jax.vmap(model.reconstruct)(x)], axis=0)", PICTURES),
    ),
    *_area(
        "pictures",
        "data/image_grid",
        ("pictures are written column by column", "GAP + number // columns * cell_height, GAP + number % columns * cell_width", "GAP + number % columns * cell_height, GAP + number // columns * cell_width", "data/test_images.py"),
        ("values are not clipped", "np.round(np.clip(images, 0, 1) * 255)", "np.round(images * 255)", "data/test_images.py"),
        ("grey levels are cut off, not rounded", "np.round(np.clip(images, 0, 1) * 255)", "np.floor(np.clip(images, 0, 1) * 255)", PICTURES),
        ("colours are shown gray", "1 if images.shape[3] < 3 else 3", "1", "data/test_images.py"),
        ("a row too few", "rows = -(-count // columns)", "rows = count // columns", "data/test_images.py"),
    ),
    *_area(
        "the run",
        "runs/loop",
        ("interim scores are of the weights, not their average", "model = state.evaluation_model\n                scores", "model = state.model\n                scores", SCORES),
        ("interim pictures are of the weights", "pictures = self.evaluator.pictures(model)\n            self", "pictures = self.evaluator.pictures(state.model)\n            self", PICTURES),
        ("a better state between two checkpoints is not saved", 'is_saved = self._is_best(due.step, scores["nll"]) or is_saved', 'self._is_best(due.step, scores["nll"])', BEST),
        ("the last state is no candidate", "evaluates = self.selection is not None if last else", "evaluates = False if last else", BEST),
        ("a checkpoint does not know the best", "record |= self.selection.record(", "self.selection.record(", BEST),
        ("interim scores take the final number of samples", "samples = self.config.eval.interim_importance_samples\n", "samples = self.config.eval.importance_samples\n", SCORES),
        ("log lines divide by log_every", "steps = totals.steps or math.nan", "steps = self.config.train.log_every", LINES),
        ("the log's ELBO is the loss", '"elbo": -(rate + distortion)', '"elbo": -totals.loss / steps + rate', LINES),
        ("throughput counts the steps of earlier processes", "trained = (due.step - start) * train.batch_size", "trained = due.step * train.batch_size", SPEEDS),
        ("throughput takes the time of earlier processes", '"examples_per_second": trained / (seconds - self._earlier)', '"examples_per_second": trained / seconds', SPEEDS),
        ("a line's speed counts steps, not images", "(step - self._logged_step) * self.config.train.batch_size", "(step - self._logged_step)", SPEEDS),
        ("a line's speed is since the start", "self._logged_at, self._logged_step = now, step", "self._logged_step = step", SPEEDS),
        ("reconstruction pairs are torn apart on an odd grid", "self.config.eval.grid // 2 * 2", "self.config.eval.grid", PICTURES),
        ("checkpoints come with evaluations", "saves = step % train.checkpoint_every == 0", "saves = step % train.eval_every == 0", f"{RUN}::test_checkpoints_hold_the_state_after_their_step"),
        ("the last line is not written", "== 0 or due.step == self.config.train.steps:\n            self._log", "== 0:\n            self._log", LINES),
    ),
    *_area(
        "the run",
        "runs/ending/final",
        ("final pictures are of the weights", "model = state.evaluation_model\n    pictures", "model = state.model\n    pictures", PICTURES),
        ("final scores are of the weights", "test = _scores(config, loop.evaluator, model)", "test = _scores(config, loop.evaluator, state.model)", SCORES),
        ("the last state is tested, not the best", "    return step, replicate(processes.broadcast(found), loop.devices)", "    return step, last", BEST),
        ("the best is tested with interim samples", "samples = config.eval.importance_samples", "samples = config.eval.interim_importance_samples", BEST),
        ("validation images are tested", "Evaluator(config, loop.dataset.test,", "Evaluator(config, loop.dataset.scored_in_training,", BEST),
    ),
    *_area(
        "the run",
        "runs/ending/best",
        ("the worst is the best", "is_better = nll < best.nll", "is_better = nll > best.nll", BEST),
        ("of two equals the later is the best", "is_better = nll < best.nll", "is_better = nll <= best.nll", BEST),
        ("a bound that is not finite may be the best", "else math.isfinite(nll)", "else True", BEST),
        ("what could not be written is the best", "if found.step in saved)", "if found.step)", BEST),
        ("a run that goes on forgets the best", "self._found = [] if best is None else [best]", "self._found = []", BEST),
        ("a finished run is tested by another than its best", "        if is_finished:", "        if False:", BEST),
    ),
    *_area(
        "the run",
        "runs/fit",
        ("validation images are drawn as test images are", 'split = "validation" if validates else "test"', 'split = "test"', BEST),
    ),
    *_area(
        "the run",
        "training/diagnosis",
        ("a replayed step has the noise of the next", "example_inputs(config.data, keys, state.step,", "example_inputs(config.data, keys, state.step + 1,", REPLAY),
    ),
    *_area(
        "the run",
        "runs/replay",
        ("another image is named", "(training image {indices[worst]})", "(training image {worst})", REPLAY),
    ),
    *_area(
        "the run",
        "runs/run",
        ("the weights are loaded, not their average", "[:1]).evaluation_model", "[:1]).model", f"{RUN}::test_the_loaded_model_is_the_average_at_the_last_step"),
    ),
    *_area(
        "files of a run",
        "runs/checkpoint",
        ("a digest of the arrays is not compared", "if manifest.digest_arrays(state) != description.state:", "if False:", "runs/test_checkpoint_manifest.py"),
        ("files are not verified", "description = manifest.verify(path, step)", "description = manifest._read(path / manifest.NAME)", "runs/test_checkpoint.py"),
        ("the oldest checkpoint is read", "for step in reversed(self.steps()):", "for step in self.steps():", "runs/test_checkpoint.py"),
        ("the best is not kept", " - description.kept_as_best", "", BEST),
        ("one checkpoint too many is kept", "self.steps()[: -self._kept]", "self.steps()[: -self._kept - 1]", "runs/test_checkpoint.py::test_only_the_newest_are_kept"),
        ("the oldest are kept", "self.steps()[: -self._kept]", "self.steps()[self._kept :]", "runs/test_checkpoint.py::test_only_the_newest_are_kept"),
        ("a state that is not finite is saved", "and not np.isfinite(leaf).all()", "and np.isinf(leaf).all()", "runs/test_checkpoint.py::test_a_state_that_is_not_finite_is_never_saved"),
        ("other shapes are taken", "if saved.get(name) != wanted.get(name):", "if name not in saved:", "runs/test_checkpoint.py"),
        ("a damaged one is not set aside", "(self.folder / str(step)).rename(self._aside(step))", "pass", "runs/test_checkpoint.py::test_a_damaged_one_is_passed_over_set_aside_and_replaced"),
    ),
    *_area(
        "files of a run",
        "runs/checkpoint_manifest",
        ("a file's content is not compared", "if found[name][1] != sha256:", "if False:", "runs/test_checkpoint_manifest.py"),
        ("a missing file is passed over", "if name not in found:\n            raise DamagedError(f\"{name} is missing\")", "if name not in found:\n            continue", "runs/test_checkpoint_manifest.py"),
        ("a renamed checkpoint is taken", "if manifest.step != step:", "if False:", "runs/test_checkpoint_manifest.py"),
        ("the manifest's own digest is not compared", "if render(manifest) == content:", "if True:", "runs/test_checkpoint_manifest.py"),
        ("a digest forgets the types", 'digest.update(f"{path}:{kind}\\n".encode())', "pass", "runs/test_checkpoint_manifest.py"),
    ),
    *_area(
        "files of a run",
        "config/resumption",
        ("optimizer.beta1 may change on resume", '"train.steps",', '"train.steps", "optimizer.beta1",', RESUME),
        ("the batch's size may change on resume", '"train.steps",', '"train.steps", "train.batch_size",', RESUME),
        ("the seed may change on resume", '"train.steps",', '"train.steps", "seed",', RESUME),
        ("the precision may change on resume", '"train.steps",', '"train.steps", "train.precision",', RESUME),
        ("flips may change on resume", '"train.steps",', '"train.steps", "data.horizontal_flips",', RESUME),
        ("the number of devices may not change", '"train.devices",', "", RESUME),
    ),
    *_area(
        "files of a run",
        "runs/folder",
        ("every difference is harmless", "changed.keys() - MAY_DIFFER", "set()", RESUME),
    ),
    *_area(
        "files of a run",
        "runs/metrics",
        ("lines of later steps stay", 'if line["step"] <= step:\n                    yield', "if True:\n                    yield", "runs/test_metrics.py::test_continuing_drops_what_later_steps_and_a_kill_left"),
        ("the line of the step itself is dropped", 'if line["step"] <= step:\n                    yield', 'if line["step"] < step:\n                    yield', "runs/test_metrics.py::test_continuing_drops_what_later_steps_and_a_kill_left"),
        ("a line is written twice", "replaces = self._rest.pop(key, None) is not None", "replaces = False", "runs/test_metrics.py::test_a_line_of_the_same_step_and_split_is_replaced"),
        ("a test line replaces the training line of its step", 'self._newest, key = line["step"], (line["step"], line["split"])', 'self._newest, key = line["step"], (line["step"], "train")', "runs/test_metrics.py::test_a_line_of_the_same_step_and_split_is_replaced"),
        ("time begins anew when a run goes on", 'self.seconds = max(self.seconds, line.get("seconds") or 0.0)', "pass", SPEEDS),
    ),
    *_area(
        "files of a run",
        "runs/goodput",
        ("the ledger of a finished run counts as lost", "if secured is not None and secured[0] == step else saved", "if False else saved", "runs/test_goodput.py::test_a_run_that_finished_loses_nothing_by_being_extended_or_evaluated_again"),
        ("what was booked after the checkpoint is forgotten", "booked = max(last.get(part, 0.0), kept.get(part, 0.0))", "booked = kept.get(part, 0.0)", "runs/test_goodput.py"),
        ("the share of training is of training", 'self.seconds["train"] / wall}', 'wall / wall}', "runs/test_fit.py::test_the_wall_time_is_accounted_for"),
    ),
    *_area(
        "data/load",
        "data/load",
        ("the mean of dequantised pixels forgets the noise", "mean = (mean + 0.5) / 256", "mean = mean / 256", "data/test_data.py::test_pixel_mean_is_the_mean_of_what_the_model_sees"),
        ("the mean forgets flips", "mean = (mean + mean[:, ::-1]) / 2", "pass", "data/test_data.py::test_pixel_mean_is_the_mean_of_what_the_model_sees"),
        ("the mean of binarised pixels is that of levels", 'block > 127 if config.binarization == "threshold" else block', "block", "data/test_data.py::test_pixel_mean_is_the_mean_of_what_the_model_sees"),
        ("training and test images change places", 'return Dataset(decode_idx(train)[..., None], decode_idx(test)', 'return Dataset(decode_idx(test)[..., None], decode_idx(train)', "data/test_data.py::test_bundled_mnist_is_the_original"),
    ),
    *_area(
        "data/load",
        "data/dataset",
        ("a split puts test images into training too", "return np.sort(ranks[tests:]), np", "return np.sort(ranks), np", "data/test_source.py"),
        ("a split takes the last images", "ranks = order.permutation(SPLIT_SEED, 0, count)", "ranks = np.arange(count)[::-1]", "data/test_files.py::test_npy_is_split_always_the_same_way"),
        ("a split of two may have no test image", "max(1, round(test_fraction * count))", "round(test_fraction * count)", "data/test_source.py"),
    ),
    *_area(
        "data/load",
        "data/validation",
        ("validation images are trained on too", "np.sort(ranks[held:])", "np.sort(ranks)", SPLIT),
        ("the validation images are the last ones", "ranks = order.permutation(VALIDATION_SEED, 0, count)", "ranks = np.arange(count)[::-1]", SPLIT),
        ("the validation images are those that would test", "VALIDATION_SEED = 2**32 + 1", "VALIDATION_SEED = 2**32", SPLIT),
        ("a run does not know which images validate", "digest.update(validated.tobytes())", "pass", SPLIT),
        ("nothing may be left to train on", "if held >= count:", "if held > count:", SPLIT),
    ),
    *_area(
        "data/load",
        "data/memory_map",
        ("a part is read as if it were the whole", "return gather(images.whole, images.which[indices])", "return gather(images.whole, indices)", SPLIT),
    ),
    *_area(
        "data/load",
        "data/sources/amat",
        ("anything is called Larochelle's draw", "renamed={_found(*SIZES):", "renamed={_found(12, 4, 5):", "data/test_amat.py"),
        ("a row may be cut short", "if len(words) != SIDE * SIDE:", "if False:", "data/test_amat.py"),
        ("validation images are tested on", "sets if own else sets[:2]", "sets if own else [sets[0], sets[2]]", "data/test_amat.py"),
    ),
    *_area(
        "data/load",
        "data/sources/idx",
        ("IDX files are read the wrong way round", '">u4"', '"<u4"', "data/test_files.py::test_idx_files_alone_and_in_a_folder"),
        ("an IDX file may be cut short", "if len(content) != header + math.prod(shape):", "if False:", "data/test_idx.py"),
    ),
    *_area(
        "data/load",
        "data/sources/decoding",
        ("a camera's turn is the wrong way round", "6: Image.Transpose.ROTATE_270", "6: Image.Transpose.ROTATE_90", "data/test_decoding.py::test_every_orientation"),
        ("a camera's turn is ignored", "if method is None:", "if True:", "data/test_files.py::test_jpeg_turned_by_the_camera"),
        ("16 bits are cut and not rounded", "+ 128) // 257", ") // 257", "data/test_decoding.py data/test_arrays.py::test_16_bits_are_scaled_when_asked"),
        ("16 bits are read as 8 without a word", 'if image.is_deep and data.sixteen_bit == "refuse":', "if False:", "data/test_decoding.py::test_16_bits_are_refused_or_scaled_with_all_their_bits"),
        ("a page is decoded as an image", "if content[:512].lstrip", "if False and content[:512].lstrip", "data/test_decoding.py::test_what_is_no_image_is_said_by_name"),
    ),
    *_area(
        "data/load",
        "data/sources/resizing",
        ("a crop is off centre", "resize = ImageOps.fit if", "resize = (lambda image, size, method: ImageOps.fit(image, size, method, centering=(0.0, 0.0))) if", "data/test_crops.py"),
        ("a crop stretches", 'if data.resize == "crop" else', 'if data.resize == "stretch" else', "data/test_crops.py"),
        ("what alpha hides comes to light", "if not image.has_transparency_data:", "if True:", "data/test_adjusting.py"),
        ("opacity is turned round", "alpha * color + (255 - alpha)", "(255 - alpha) * color + alpha", "data/test_adjusting.py"),
        ("transparent images need no background", "if behind is None:", "if behind is None and False:", "data/test_adjusting.py"),
    ),
    *_area(
        "data/load",
        "data/sources/arrays",
        ("truth values become 0 and 1", "to_levels = convert if array.dtype != np.bool_ else _spread", "to_levels = _as_bytes", "data/test_files.py::test_whole_numbers_and_truth_values_become_8_bits"),
        ("only the first numbers are looked at", "for block in _blocks(array):", "for block in list(_blocks(array))[:1]:", "data/test_arrays.py::test_every_number_counts_however_many_there_are"),
        ("floats are cut to levels", "np.round(image.astype(np.float64) * 255)", "np.floor(image.astype(np.float64) * 255)", "data/test_arrays.py::test_levels_over_255_are_those_levels"),
        ("any float is near a level", "(abs(scaled - nearest) <= tolerance)", "(abs(scaled - nearest) <= 1)", "data/test_arrays.py::test_numbers_that_are_no_levels"),
        ("frames are taken as rows", "(second != third == last)", "(second < third == last)", "data/test_arrays.py::test_axes_in_another_order_are_refused_with_what_puts_them_right"),
        ("channels first are taken as rows", "if second <= 4 or", "if False or", "data/test_arrays.py::test_axes_in_another_order_are_refused_with_what_puts_them_right"),
    ),
    *_area(
        "data/load",
        "data/sources/folders",
        ("files are in the disk's order", "found.images.sort(key=lambda path: path.split(os.sep))", "found.images.sort(reverse=True)", "data/test_folders.py::test_the_order_is_that_of_names_from_the_folder_on"),
        ("links are not followed", "followlinks=True", "followlinks=False", "data/test_folders.py::test_links_are_followed_once_and_not_in_circles"),
        ("hidden folders are read", 'if folder.startswith(".") or folder in _OTHERS:', "if False:", "data/test_folders.py::test_hidden_folders_are_left_out"),
        ("runs are read as images", 'elif inside and "config.json" in files', 'elif False and "config.json" in files', "data/test_folders.py::test_runs_and_what_the_program_made_are_left_out"),
        ("a folder that cannot be read is empty", 'if is_all or data.unreadable == "refuse":', 'if data.unreadable == "refuse":', "data/test_folders.py::test_a_folder_that_cannot_be_listed"),
        ("test without train is one set", "if roles.train is None and roles.test is None:", "if roles.train is None:", "data/test_folders.py::test_folders_that_cannot_be_meant"),
    ),
    *_area(
        "command line",
        "data/summary",
    ),
    *_area(
        "data/load",
        "data/sources/splits",
        ("a pair of sets is one set of classes", "    if ranked:\n        return ranked\n    alike", "    return ranked\n    alike", "data/test_folders.py::test_folders_of_both_sets"),
        ("a class that is called after a set is one", "if min(places.values()) == 0 < max(places.values())", "if True", "data/test_folders.py::test_folders_that_are_classes"),
    ),
    *_area(
        "data/load",
        "data/sources/files",
        ("more than one array in a file is the first", "if more != 0:", "if False:", "data/test_arrays.py::test_an_npy_file_with_more_than_one_array_in_it_is_refused"),
    ),
    *_area(
        "data/load",
        "data/dataset",
        ("a rewritten file with its old time is the same", "status.st_mtime_ns, status.st_ctime_ns, status.st_ino]", "status.st_mtime_ns]", "data/test_source.py data/test_kept.py::test_a_file_replaced_by_one_of_equal_size_and_time_is_read_again"),
        ("the split is another for each number", "tests = min(max(1, round(test_fraction * count)), count - 1)", "tests = min(max(1, int(test_fraction * count + 0.999)), count - 1)", "data/test_source.py"),
    ),
    *_area(
        "data/load",
        "data/decoded_cache",
        ("a background is not part of the key", '"background": data.background,', "", "data/test_adjusting.py::test_a_folder_is_decoded_anew_for_every_background"),
        ("kept arrays that were changed are taken", 'if digest_images(*arrays) != note["digest"]:', "if False:", "data/test_kept.py::test_arrays_that_were_changed_are_made_again"),
    ),
    *_area(
        "data/load",
        "data/load",
        ("useless options are taken", "if value != getattr(Data(), name) and name not in uses:", "if False:", "data/test_data.py"),
    ),
    *_area(
        "data/load",
        "data/memory_map",
        ("a digest forgets the shape", 'digest.update(f"{images.shape}\\n".encode())', "pass", "data/test_pixels.py"),
        ("a view of a file begins at the file's beginning", "whole.offset + images.ctypes.data - whole.ctypes.data", "whole.offset", "data/test_pixels.py"),
        ("the last block is left out", "for start in range(0, len(images), count):", "for start in range(0, len(images) - count + 1, count):", "data/test_pixels.py"),
    ),
    *_area(
        "data/load",
        "data/streaming",
        ("a feed begins at the first step", "step = start + number * steps", "step = number * steps", "data/test_streaming.py::test_a_feed_brings_the_images_that_the_order_names"),
        ("every chunk has the first one's images", "step = start + number * steps", "step = start", EIGHT),
    ),
    *_area(
        "data/load",
        "data/placement",
        ("images may fill a device", "SHARE = 0.5", "SHARE = 1.0", "data/test_streaming.py::test_places_by_size"),
    ),
    *_area(
        "command line",
        "config/validation",
        ("dequantised binarisation is accepted", 'data.dequantization != "none" and data.binarization != "none",', "False,", BOTH),
    ),
    *_area(
        "command line",
        "commands/train",
        ("a mistake ends with code 0", "_leave(error.exit_code)\n        return error.exit_code", "_leave(error.exit_code)\n        return 0", "commands/test_cli.py::test_a_mistake_is_one_clear_message_with_code_2_and_leaves_nothing"),
    ),
    *_area(
        "command line",
        "errors",
        ("a mistake of the user's has code 1", "exit_code = 2", "exit_code = 1", "commands/test_cli.py::test_a_mistake_is_one_clear_message_with_code_2_and_leaves_nothing"),
    ),
    *_area(
        "command line",
        "data/advice",
        ("black and white images suit a Gaussian", "channel == 1 and extreme > MOSTLY", "channel == 1 and extreme > 1", "data/test_look.py::test_the_likelihood_that_suits"),
        ("noise of photographs is not warned of", "and extreme <= MOSTLY:", "and extreme <= 0:", "data/test_advice.py"),
        ("a long warm-up is not warned of", "if beta_warmup > steps:", "if beta_warmup > 10 * steps:", "data/test_advice.py"),
    ),
    *_area(
        "command line",
        "config/conversion",
        ("a half becomes a whole number", "if number == int(number):", "if True:", "config/test_conversion.py"),
        ("True is a number", "isinstance(given, numbers.Real) and not isinstance(given, bool)", "isinstance(given, numbers.Real)", "config/test_conversion.py"),
        ("a choice may have any case", "if isinstance(given, str) and given in choices:", "if isinstance(given, str) and given.lower() in choices:", "config/test_conversion.py"),
        ("fields that do not exist are dropped", "elif key not in types:", "elif False:", "config/test_conversion.py"),
    ),
    *_area(
        "command line",
        "config/validation",
        ("a flag may repeat a useless default", "if field in origin.flags or (value", "if (value", "config/test_validation.py commands/test_cli.py"),
    ),
    *_area(
        "command line",
        "data/memory_needs",
        # Not that nothing is refused: the tests' absurd runs would then be tried, and take the machine's memory.
        ("a batch is as large as one image", 'batch * image // devices, ["train.batch_size"]', 'image // devices, ["train.batch_size"]', "data/test_room.py::test_the_bytes_are_those_of_the_arrays"),
    ),
    *_area(
        "command line",
        "system/paths",
        ("a tilde is a folder's name", "expanded = os.path.expanduser(text)", "expanded = text", "system/test_paths.py"),
    ),
    *_area(
        "command line",
        "system/signals",
        ("a terminal that closes kills the run", "if hung_up is not signal.SIG_IGN:", "if False:", "system/test_signals.py"),
        ("nohup is not respected", "if hung_up is not signal.SIG_IGN:", "if True:", "system/test_signals.py"),
    ),
    *_area(
        "command line",
        "system/console",
        ("a stream without a reader ends the run", "if left:\n            with contextlib.suppress(OSError):", "if left:\n            raise BrokenPipeError\n            with contextlib.suppress(OSError):", "system/test_console.py"),
    ),
    *_area(
        "files of a run",
        "system/third_party_output",
        ("tracebacks stay kept back", "sys.unraisablehook = self._before", "pass", "system/test_quiet.py runs/test_checkpoint.py"),
    ),
    *_area(
        "files of a run",
        "runs/folder",
        ("other people's folders are taken", "if others:", "if False:", "runs/test_workdir.py"),
        ("an empty configuration makes a run of a folder", "if not nested.keys() & set(_SECTIONS):", "if False:", "runs/test_workdir.py"),
        ("a path through a file is not noticed", "if not there.is_dir():", "if False:", "runs/test_workdir.py"),
    ),
    *_area(
        "files of a run",
        "system/atomic_files",
        ("NaN is written", "return None if isinstance(value, float) and not math.isfinite(value) else value", "return value", "runs/test_metrics.py::test_a_number_that_is_not_finite_is_null"),
        ("a signal leaves a file half-written", "except BaseException:\n        # BaseException, because", "except OSError:\n        # BaseException, because", "runs/test_metrics.py"),
    ),
    *_area(
        "files of a run",
        "data/image_grid",
        ("a contact sheet replaces any file", "return not head or is_marked(head)", "return True", "data/test_look.py"),
    ),
    *_area(
        "training/keys",
        "training/parallel",
        ("settings that change every draw are accepted", "if (value := getattr(settings, name, usual)) != usual:", "if (value := usual) != usual:", "runs/test_environment.py::test_a_run_of_which_a_setting_would_change_the_draws_is_refused"),
    ),
    *_area(
        "mathematics",
        "models/input_checks",
        ("levels are taken for values in the unit interval", "if -beyond - _ROUNDING <= low and high <= 1 + beyond + _ROUNDING:", "if True:", "models/test_arguments.py"),
        ("whole numbers are taken for values", "if jnp.issubdtype(x.dtype, jnp.integer):\n        largest", "if False:\n        largest", "models/test_arguments.py"),
        ("values behind vmap of NumPy's arrays are not looked at", "if isinstance(x, np.ndarray):\n        # What vmap", "if False:\n        # What vmap", "models/test_arguments.py::test_a_wrong_range_is_refused_wherever_the_values_are_known"),
        ("any shape is taken", "if x.shape != shape:\n        raise ValueError(\n            f\"{method} takes an image", "if False:\n        raise ValueError(\n            f\"{method} takes an image", "models/test_arguments.py"),
    ),
    *_area(
        "training/keys",
        "models/noise",
        ("a key can be drawn from twice", "jax.random.bits(one_key(key, \"sample\"), (0,))", "pass", "models/test_noise.py"),
    ),
    *_area(
        "mathematics",
        "models/distributions",
        ("the prior has the variance 2", "-0.5 * (jnp.sum(x**2)", "-0.25 * (jnp.sum(x**2)", "models/test_distributions.py"),
        ("new images of half the prior's spread", "return jax.random.normal(key, self.shape, jnp.float32)", "return 0.5 * jax.random.normal(key, self.shape, jnp.float32)", PICTURES),
    ),
    *_area(
        "mathematics",
        "models/rates",
        ("a rate of a wrong sign where there is no closed form", "return log_q - log_p", "return log_p - log_q", "models/test_seams.py"),
        ("no rate in closed form", "return None if closed is None else closed(q, p)", "return None", EIGHT),
    ),
    *_area(
        "mathematics",
        "models/objectives/bounds",
        ("the distortion is of the last draw", "log_likelihoods + log_likelihood, differences, squares", "log_likelihood, differences, squares", CONV),
        ("the first draw's rate stands for all", "s + (now - then), differences", "s, differences", "models/test_seams.py"),
    ),
    *_area(
        "mathematics",
        "models/objectives/abstract",
        ("the ELBO adds the rate", "return -(self.distortion + self.rate)", "return -(self.distortion - self.rate)", "models/test_objectives.py::test_the_importance_weighted_bound_grows_with_its_samples_from_the_elbo"),
    ),
    *_area(
        "mathematics",
        "models/objectives/elbo",
        ("the distortion has the wrong sign", "distortion = -draw.likelihood.log_prob(x)", "distortion = draw.likelihood.log_prob(x)", EIGHT),
        ("the loss forgets beta", "jnp.mean(terms.distortion) + self.weight(step) * jnp.mean(terms.rate)", "jnp.mean(terms.distortion) + jnp.mean(terms.rate)", EIGHT),
        ("the loss is a sum over the batch", "return jnp.mean(terms.distortion) + self", "return jnp.sum(terms.distortion) + self", EIGHT),
        ("the rate's warm-up is one step late", "jnp.minimum(1.0, (step + 1)", "jnp.minimum(1.0, (step + 0)", EIGHT),
        ("the rate's warm-up ends at 1, not beta", "return self.beta * jnp.minimum(1.0,", "return jnp.minimum(1.0,", EIGHT),
    ),
    *_area(
        "mathematics",
        "models/objectives/elbo",
        ("cycles of the rate's weight never end", "jnp.where(step < self.beta_warmup_steps, risen, 1.0)", "risen", CYCLES),
        ("the rate's weight rises through the whole cycle", "/ (self.beta_rise * cycle)", "/ cycle", CYCLES),
        ("free bits of one device's mean", "jax.lax.pmean(jnp.mean(rates, 0), axis_name)", "jnp.mean(rates, 0)", DEVICES),
        ("free bits of each image", "jnp.sum(jnp.maximum(self.free_bits, means))", "jnp.mean(jnp.sum(jnp.maximum(self.free_bits, rates), -1))", WRITTEN_OUT),
        ("free bits per level are per latent", 'terms.rates if self.free_bits_per == "level" else', "terms.rates if False else", WRITTEN_OUT),
        ("free bits are a mean over examples", "return self.free_bits == 0", "return True", f"{TRAINING}::test_free_bits_are_refused_where_the_batch_is_cut"),
        ("STL does not freeze q", "routes=GradientRoutes(posterior=constant))", "routes=GradientRoutes())", WRITTEN_OUT),
    ),
    *_area(
        "mathematics",
        "models/objectives/importance_weighted",
        ("a bound of the sum of weights", "jnp.log(jnp.mean(relative, -1))", "jnp.log(jnp.sum(relative, -1))", WRITTEN_OUT),
        ("VR-IWAE without its factor", "jnp.log(jnp.mean(relative, -1)) / (1 - alpha)", "jnp.log(jnp.mean(relative, -1))", WRITTEN_OUT),
        ("every draw is the same", "noise.fold_in(key, k)", "noise.fold_in(key, 0 * k)", WRITTEN_OUT),
        ("DReG weighs once", "(alpha + (1 - alpha) * shares).reshape(-1)", "jnp.ones_like(shares).reshape(-1)", WRITTEN_OUT),
        ("DReG of VR-IWAE as of IWAE", "(alpha + (1 - alpha) * shares).reshape(-1)", "shares.reshape(-1)", WRITTEN_OUT),
        ("DReG does not freeze q", "GradientRoutes(_into(tags), constant)", "GradientRoutes(_into(tags))", WRITTEN_OUT),
        ("PIWAE's decoder learns by MIWAE too", "GradientRoutes(generative=constant)", "GradientRoutes()", WRITTEN_OUT),
        ("PIWAE's encoder learns by IWAE too", "GradientRoutes(latents=constant, posterior=constant)", "GradientRoutes(posterior=constant)", WRITTEN_OUT),
        ("CIWAE's parts change places", "self.beta * drawn.terms.elbo + (1 - self.beta) *", "(1 - self.beta) * drawn.terms.elbo + self.beta *", WRITTEN_OUT),
        ("the bound is minimised", "return -jnp.mean(terms.bound)", "return jnp.mean(terms.bound)", WRITTEN_OUT),
        ("the reported rate is of all draws together", "lambda term: jnp.mean(term, 0)", "lambda term: jnp.sum(term, 0)", WRITTEN_OUT),
        ("STL of several draws is let in", 'if self.gradient == "stl" and self.samples > 1:', "if False:", "models/test_gradient_estimators.py::test_stl_with_several_draws_has_another_mean_and_is_refused"),
        ("a model that leaves out the routes is let in", "if not tags:", "if False:", ROUTES),
    ),
    *_area(
        "mathematics",
        "models/objectives/path_gradients",
        ("all draws share a tag", "jnp.sum(jnp.stack([jnp.sum(leaf) for leaf in jax.tree.leaves(latents)]))", "jnp.zeros(())", WRITTEN_OUT),
        ("a draw's factor follows the loss's own", "return gradient, factors,", "return gradient, gradient * factors,", WRITTEN_OUT),
    ),
    *_area(
        "mathematics",
        "models/vae",
        ("a subclass that draws otherwise is taken for its parent", "if type(self).draw is not VAE.draw:\n            # A subclass", "if False:\n            # A subclass", ROUTES),
        ("densities leave out the routes of latents", "                z = routes.latents(z)\n", "", WRITTEN_OUT),
        ("the decoder has all routes", "return routes.generative(self)._drawn(", "return self._drawn(", WRITTEN_OUT),
    ),
    *_area(
        "mathematics",
        "models/draws",
        ("importance weights without the prior", "log_likelihood + self.log_prior - self.log_posterior", "log_likelihood - self.log_posterior", CONV),
        ("importance weights without the posterior", "log_likelihood + self.log_prior - self.log_posterior", "log_likelihood + self.log_prior", CONV),
    ),
    *_area(
        "mathematics",
        "models/vae",
        ("sigma is cast to bfloat16", "low = jax.tree.map(lambda w: w.astype(precision) if eqx.is_inexact_array(w) else w, networks(model))\n    return eqx.tree_at(networks, model, low)", "return jax.tree.map(lambda w: w.astype(precision) if eqx.is_inexact_array(w) else w, model)", LOW),
        ("bfloat16 is not asked for", 'if precision == "float32":\n            return self\n        return cast(self, lambda m: (m.encoder', 'if True:\n            return self\n        return cast(self, lambda m: (m.encoder', LOW),
        ("temperature is forgotten", "if temperature == 1.0 else prior.tempered_sample(key, temperature)", "if True else prior.tempered_sample(key, temperature)", "models/test_seams.py"),
        ("the prior is always N(0, I)", "StandardNormalPrior(latent_dim) if prior is None else prior", "StandardNormalPrior(latent_dim)", "models/test_seams.py"),
    ),
    *_area(
        "mathematics",
        "models/build",
        ("encoder and decoder start from one key", "key_encoder, key_decoder = jax.random.split(key)", "key_encoder = key_decoder = key", SEED),
        ("another objective than the experiment's own", 'if (own := own_function(config.code, "objective")) is None:', "if True:", "test_extension.py"),
        ("fixed reduction of an objective that is no mean", "not objective.is_mean:", "False:", "models/test_seams.py"),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/bernoulli",
        ("logits have the wrong sign", "wrong = (1 - 2 * x) * logits", "wrong = (2 * x - 1) * logits", "models/test_distributions.py"),
        ("Bernoulli's correction has the wrong sign", "jnp.maximum(wrong, 0) + jnp.log(", "jnp.maximum(wrong, 0) - jnp.log(", "models/test_distributions.py"),
        ("a Bernoulli decoder starts at the mean, not its logit", "return jax.scipy.special.logit(jnp.clip(pixel_mean, 1e-3, 1 - 1e-3))", "return pixel_mean", SEED),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/gaussian",
        ("sigma learns though it is fixed", "self.raw_log_sigma if self.learn_sigma else jax", "self.raw_log_sigma if True else jax", "models/test_vae.py::test_sigma_starts_where_it_is_told_and_learns_only_if_it_is_told"),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/logistic",
        ("level 254 has the upper tail", "levels == 0, levels == 255", "levels == 0, levels >= 254", LEVEL_MASS),
        ("levels are half as wide", "(2 * levels - 256)", "(2 * levels - 255)", LEVEL_MASS),
        ("a logistic's slope at its own edge is that of abs", "jnp.exp(jnp.minimum(t, -t))", "jnp.exp(-jnp.abs(t))", "models/test_logistics.py::test_slopes_are_finite_at_every_level_and_those_of_float64"),
        ("blue depends on red twice", "first + other", "first", MIXTURE),
        ("green does not depend on red", "for other in range(channel):", "for other in range(channel - 1):", MIXTURE),
        ("couplings are not bounded", "jnp.tanh(self.coupling[..., first", "(self.coupling[..., first", MIXTURE),
        ("a mixture's weights sum to anything", "total = jax.nn.log_softmax(self.logits)", "total = self.logits", MIXTURE),
        ("the mean of a logistic is its location", "return jnp.clip(1 - scales * (high - low), -1, 1)", "return jnp.clip(location, -1, 1)", "models/test_logistics.py::test_the_mean_of_a_logistic_is_that_of_its_levels_to_half_a_level"),
        ("channels are drawn apart from each other", "self._location(channel, [_value(level) for level in found])", "self._location(channel, [0 * level for level in found])", "models/test_logistics.py::test_draws_of_a_mixture_have_its_probabilities"),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/continuous_bernoulli",
        ("a continuous Bernoulli has no normaliser", "log_normaliser(size) + (x - near)", "(x - near)", CONTINUOUS),
        ("its series ends too early", " - 7 / 1440 * square**2", "", CONTINUOUS),
        ("its slope at 0 is that of abs", "jnp.maximum(self.logits, -self.logits)", "jnp.abs(self.logits)", CONTINUOUS),
        ("its mean is the sigmoid", "series, -1 / jnp.expm1(-large) - 1 / large", "series, jax.nn.sigmoid(large)", CONTINUOUS),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/categorical",
        ("logits are probabilities' logarithms", "chosen - jax.nn.logsumexp(self.logits, -1)", "chosen", "models/test_likelihoods.py::test_a_categorical_is_scipys_and_even_logits_take_exactly_eight_bits"),
    ),
    *_area(
        "mathematics",
        "models/noise",
        ("Gumbel noise of the wrong sign", "logits - jnp.log(-jnp.log(", "logits + jnp.log(-jnp.log(", "models/test_likelihoods.py::test_draws_of_a_categorical_and_of_a_bernoulli_have_their_probabilities"),
    ),
    *_area(
        "command line",
        "config/pixels",
        ("a likelihood of levels takes dequantised pixels", '"levels": ("levels",)', '"levels": ("levels", "unit")', "config/test_support.py::test_each_kind_takes_its_pixels_and_says_what_would_fit_others"),
        ("dequantised pixels are to be binarised too", 'support == "binary" and found == "unit"', "False", "config/test_support.py::test_each_kind_takes_its_pixels_and_says_what_would_fit_others"),
    ),
    *_area(
        "evaluation",
        "runs/progress",
        ("bits of a density are called the image's", 'not is_discrete(data["support"]) and data', 'False and data', "config/test_support.py::test_the_table_says_what_bits_are_of"),
    ),
    *_area(
        "mathematics",
        "models/likelihoods/scale",
        ("sigma starts at its square", "return jnp.full(shape, unbounded_log_scale(math.log(scale)), jnp.float32)", "return jnp.full(shape, unbounded_log_scale(2 * math.log(scale)), jnp.float32)", "models/test_vae.py::test_sigma_starts_where_it_is_told_and_learns_only_if_it_is_told"),
    ),
    *_area(
        "mathematics",
        "models/stock_modules",
        ("what is frozen is trained", "jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, self.module", "leaf, self.module", "models/test_seams.py"),
        ("functions are equal whatever they compute", "leaf.__module__, leaf.__qualname__, leaf.__code__, cells", "leaf.__module__, leaf.__qualname__", "models/test_seams.py"),
    ),
    *_area(
        "step",
        "training/step",
        ("the reported rate is a sum", "jnp.mean(terms.rates, 0)", "jnp.sum(terms.rates, 0)", EIGHT),
    ),
    *_area(
        "replay",
        "training/diagnosis",
        ("a replayed loss has another beta", "objective, state.step, precision", "objective, state.step + 1000, precision", "models/test_seams.py"),
        ("the smallest log-scale is the largest", "jnp.stack([scales.min(), scales.max()])", "jnp.stack([scales.max(), scales.max()])", REPLAY),
    ),
    *_area(
        "command line",
        "config/validation",
        ("a Bernoulli likelihood of gray pixels is accepted", "data.pixels not in TAKES[model.likelihood.pixels] and config.code.file is None,", "False,", BOTH),
    ),
    *_area(
        "command line",
        "config/ranges",
        ("beta1 = 1 is accepted", "lambda value: 0 <= value < 1, ", "lambda value: 0 <= value <= 1, ", BOUNDS),
        ("a negative seed is accepted", "between(0, 2**32 - 1)", "between(-1, 2**32 - 1)", BOUNDS),
        ("a sigma of zero is accepted", "1e-3 <= value <= 1e3", "0 <= value <= 1e3", BOUNDS),
        ("a test set of all images is accepted", "0 < value < 1", "0 < value <= 1", BOUNDS),
        ("an epsilon of zero is accepted", "lambda value: _TINIEST <= value <= _LARGEST, \"finite in float32 and above 0\"", "lambda value: 0 <= value <= _LARGEST, \"finite in float32 and above 0\"", BOUNDS),
        ("no convolution is accepted", "len(widths) >= 1", "len(widths) >= 0", BOUNDS),
    ),
    *_area(
        "command line",
        "config/validation",
        ("a field without effect may be set", "if field in origin.flags or (value != default and not (origin.old or used_below)):", "if False:", "config/test_validation.py"),
        ("what flags replaced is still refused", "not (origin.old or used_below)", "not origin.old", "config/test_validation.py"),
        ("an earlier version's layout is not known", "given = upgraded(given)", "pass", "config/test_validation.py"),
    ),
    *_area(
        "command line",
        "config/conversion",
        ("ranges are not looked at", "if ranges and isinstance(limits, Range)", "if False and isinstance(limits, Range)", BOUNDS),
        ("a kind without a name is the family's first", 'values.pop("kind", default.kind)', 'values.pop("kind", next(iter(family.kinds())))', "config/test_conversion.py runs/test_api.py"),
        ("any kind's fields are taken", "notes.note(f\"{prefix}{key}\", unknown_kind_field(name, str(key), values[key], kind))", "pass", "config/test_validation.py"),
    ),
    *_area(
        "command line",
        "config/kinds/kind",
        ("another kind begins with the old one's own fields", "shared = [base for base in kind.__mro__ if issubclass(base, Kind) and isinstance(self, base)]", "shared = [base for base in kind.__mro__ if issubclass(base, Kind) and issubclass(base, self.family())]", "config/test_experiment.py"),
        ("another kind keeps nothing", "return kind(**{name: getattr(self, name) for name in names})", "return kind()", "config/test_experiment.py"),
        ("a user's kind may take the name of ours", "if ours is not None and _is_ours(ours)", "if False and _is_ours(ours)", "config/test_validation.py"),
        ("what a kind builds gets its family's fields", "if name not in common", "if True", "training/test_optimizer.py"),
    ),
    *_area(
        "command line",
        "config/experiment_file",
        ("own kinds are not remembered", "if not own_kinds and not any(", "if not any(", "test_extension.py"),
    ),
    *_area(
        "command line",
        "commands/flags",
        ("a kind's flag is not obeyed", "config = with_field(config, name, kinds[name].become(kind))", "pass", "config/test_experiment.py"),
        ("flags of other kinds are not explained", 'elif section in kinds and (says', 'elif False and (says', "config/test_experiment.py"),
    ),
    *_area(
        "files of a run",
        "config/earlier_versions",
        ("what a kind did not use is kept", "or name in kind.field_names() or name not in others", "or name in others", "config/test_validation.py"),
    ),
    *_area(
        "files of a run",
        "runs/folder",
        ("own kinds are not looked for", "if (file := unknown_kinds_file(nested)) is not None:", "if False:", "test_extension.py"),
    ),
    *_area(
        "files of a run",
        "runs/checkpoint",
        ("arrays are found in the order of writing", "saved = saved[int(name)] if isinstance(saved, Sequence) else saved[str(name)]", "saved = list(saved.values())[0] if hasattr(saved, 'values') else saved[0]", "runs/test_checkpoint.py"),
    ),
    *_area(
        "mathematics",
        "models/rates",
        ("a rate between Gaussians without the prior's scale", "2 * (q.log_scale - p.log_scale)", "2 * q.log_scale", f"{POSTERIORS}::test_rates_in_closed_form_are_those_of_float64_and_of_monte_carlo"),
    ),
    *_area(
        "mathematics",
        "models/distributions",
        ("a Gaussian has no temperature", "self.mean + temperature * jnp.exp", "self.mean + jnp.exp", f"{PRIORS}::test_draws_of_a_mixture_have_its_density_with_scales_times_the_temperature"),
    ),
    *_area(
        "mathematics",
        "models/posteriors/full_gaussian",
        ("a full Gaussian's density without its determinant", "(jnp.sum(noise**2) + constant) - jnp.sum(self.log_diagonal)", "(jnp.sum(noise**2) + constant)", f"{POSTERIORS}::test_a_full_gaussian_has_the_density_of_scipy_and_of_its_own_draws"),
        ("covariances are not in the rate", "+ jnp.sum(jnp.tril(self.below, -1) ** 2)", "", f"{POSTERIORS}::test_rates_in_closed_form_are_those_of_float64_and_of_monte_carlo"),
        ("a latent's own scale is the factor's diagonal", "0.5 * jnp.log(jnp.sum(self.factor**2, axis=1))", "self.log_diagonal", f"{POSTERIORS}::test_a_full_gaussian_has_the_density_of_scipy_and_of_its_own_draws"),
        ("the factor is transposed", "self.mean + self.factor @ noise, self", "self.mean + self.factor.T @ noise, self", f"{POSTERIORS}::test_a_full_gaussian_has_the_density_of_scipy_and_of_its_own_draws"),
    ),
    *_area(
        "mathematics",
        "models/posteriors/masked_mlp",
        ("a latent's numbers depend on itself", "np.tile(latents, 2)[:, None] > degrees[-1]", "np.tile(latents, 2)[:, None] >= degrees[-1]", MASKED),
        ("a latent's numbers do not depend on the one before", "* self.latent_dim // width", "* (self.latent_dim - 1) // width", MASKED),
    ),
    *_area(
        "mathematics",
        "models/posteriors/autoregressive",
        ("the latents' order is never reversed", "z = z[::-1] if i > 0 else z\n            shift", "shift", f"{POSTERIORS}::test_steps_are_those_of_the_paper"),
        ("gates are not bounded", "bounded_log_scale(raw) + GATE_BIAS", "raw + GATE_BIAS", f"{POSTERIORS}::test_steps_are_those_of_the_paper"),
        ("a draw's density gains where the flow expands", "return z, log_base - log_determinant", "return z, log_base + log_determinant", INVERTED),
        ("the inverse is one pass short", "length=z.size", "length=max(1, z.size - 1)", INVERTED),
        ("a flow is shown by its base's mean", "return self.transform(self.base.mean)[0]", "return self.base.mean", f"{POSTERIORS}::test_a_flow_is_shown_by_what_becomes_of_its_bases_mean"),
    ),
    *_area(
        "mathematics",
        "models/priors/mixture",
        ("a mixture's weights do not sum to 1", "jax.nn.log_softmax(self.logits) + each", "self.logits + each", f"{PRIORS}::test_a_mixture_has_the_density_of_scipy"),
        ("a mixture's means have twice the gradient", "by_means + by_x + by_log_scales", "2 * by_means + by_x + by_log_scales", f"{PRIORS}::test_a_mixtures_gradients_are_those_of_float64"),
        ("a mixture's scales have no gradient", "by_means + by_x + by_log_scales", "by_means + by_x", f"{PRIORS}::test_a_mixtures_gradients_are_those_of_float64"),
        ("the square is multiplied out wrongly", "@ of_x - precision @ (x * of_x)", "@ of_x - 2 * precision @ (x * of_x)", f"{PRIORS}::test_a_mixtures_gradients_are_those_of_float64"),
        ("a mixture's curvature is that of constants", "precision = jnp.exp(-2 * log_scales)", "precision = jax.lax.stop_gradient(jnp.exp(-2 * log_scales))", f"{PRIORS}::test_a_mixtures_curvature_is_that_of_its_formula"),
        ("a mixture has no temperature", ".tempered_sample(key_value, temperature)", ".sample(key_value)", f"{PRIORS}::test_draws_of_a_mixture_have_its_density_with_scales_times_the_temperature"),
    ),
    *_area(
        "mathematics",
        "models/priors/vamp",
        ("pseudo-inputs are no images", "return jax.nn.sigmoid(self.raw)", "return self.raw", f"{PRIORS}::test_a_vamp_prior_is_the_mixture_of_the_posteriors_of_its_images"),
    ),
    *_area(
        "mathematics",
        "models/priors/coupling",
        ("a coupling's density gains where it expands", "        return _log_base(noise) - log_determinant", "        return _log_base(noise) + log_determinant", COUPLED),
        ("one half of the latents never moves", "jnp.split(z[::-1] if i > 0 else z, (", "jnp.split(z, (", COUPLED),
        ("a coupling flow starts as anything", "jax.tree.map(jnp.zeros_like, mlp.layers[-1])", "mlp.layers[-1]", f"{PRIORS}::test_a_coupling_flow_starts_as_the_standard_normal_and_needs_two_latents"),
    ),
    *_area(
        "randomness",
        "models/noise",
        ("the likeliest category is always drawn", "jnp.argmax(logits - jnp.log(-jnp.log(uniform(key, logits.shape))), -1)", "jnp.argmax(logits, -1)", f"{PRIORS}::test_categories_are_drawn_with_their_probabilities"),
    ),
    *_area(
        "mathematics",
        "models/vae",
        ("what depends on the model alone is computed for every draw", "return with_known_prior(self, self.prior(self.encoder))", "return self", f"{PRIORS}::test_the_components_of_a_vamp_prior_are_computed_once_a_step_and_not_in_loops_over_draws"),
    ),
    *_area(
        "evaluation",
        "runs/evaluation",
        ("the noise of an estimated mean is activity", "np.var(means, axis=0) - noise.mean(axis=0)", "np.var(means, axis=0)", ACTIVE),
        ("a latent's variance is its second moment", "np.var(means, axis=0)", "np.mean(means**2, axis=0)", "analysis/test_latents.py::test_rates_variances_and_collapse_of_a_linear_model_are_their_closed_forms"),
    ),
    *_area(
        "evaluation",
        "models/objectives/bounds",
        ("an estimated mean has no noise", "(square - s**2 / count) / pairs", "0 * (square - s**2 / count) / pairs", ACTIVE),
    ),
    *_area(
        "configuration",
        "config/validation",
        ("a mixture of flows is let in", "model.prior.of_posteriors and not", "False and not", f"{PRIORS}::test_a_vamp_prior_of_flows_is_refused_with_what_would_fit"),
    ),
    *_area(
        "mathematics",
        "models/posteriors/diagonal",
        ("a log-scale is not bounded", "return Gaussian(mean, bounded_log_scale(raw))", "return Gaussian(mean, raw)", "models/test_networks.py::test_the_encoder_gives_a_mean_and_a_bounded_log_scale"),
    ),
    *_area(
        "mathematics",
        "models/networks/dense",
        ("hidden widths are not mirrored", "mlp = network((latent_dim, *hidden[::-1],", "mlp = network((latent_dim, *hidden,", LAYERS),
    ),
    *_area(
        "mathematics",
        "models/networks/convolutional",
        ("a convolutional decoder's widths are not mirrored", "self.mlp = MLP((latent_dim, *hidden[::-1], math", "self.mlp = MLP((latent_dim, *hidden, math", LAYERS),
        ("channels are not mirrored", "channels)[::-1]\n", "channels[::-1])[::-1]\n", LAYERS),
    ),
    *_area(
        "the run",
        "runs/run",
        ("a replay begins after the step", "restored = checkpoints.read(like, until=step)", "restored = checkpoints.read(like, until=None)", REPLAY),
    ),
    *_area(
        "mathematics",
        "models/networks/residual",
        ("a block without its shortcut", "return short + long +", "return long +", RESIDUAL),
        ("a block is not pre-activated", "short, long = x, activate(x)", "short, long = x, x", RESIDUAL),
        ("odd sides are padded by zeros in the shortcut", 'jnp.pad(x, pad, mode="edge")', "jnp.pad(x, pad)", RESIDUAL),
        ("a block's second convolution does not begin at zero", "self.second = jnp.zeros((3, 3, outer, outer), jnp.float32)", "self.second = _glorot(key_shortcut, (3, 3, outer, outer), 9 * outer, 9 * outer)", RESIDUAL),
        ("all blocks begin alike", "key=jax.random.fold_in(key, i)", "key=key", RESIDUAL),
        ("the decoder's pixels have no bias of their own", "[:height, :width] + self.last.bias", "[:height, :width]", RESIDUAL),
    ),
    *_area(
        "mathematics",
        "models/networks/gated",
        ("gate and value change places", "value, gate = jnp.split(x, 2)", "gate, value = jnp.split(x, 2)", RESIDUAL),
        ("a gate is a tanh", "jax.nn.sigmoid(gate)", "jnp.tanh(gate)", RESIDUAL),
    ),
    *_area(
        "mathematics",
        "models/convolution",
        ("a 3x3 kernel is transposed", "padded[a : a + height, b : b + width] for a", "padded[b : b + height, a : a + width] for a", "models/test_convolution.py"),
    ),
    *_area(
        "evaluation",
        "models/objectives/bounds",
        ("the squares of weights are not rescaled", "total_square * before**2 + weight**2", "total_square * before + weight**2", RUN),
        ("effective samples are the inverse", "total**2 / total_square", "total_square / total**2", "models/test_objectives.py"),
    ),
    *_area(
        "evaluation",
        "runs/evaluation",
        ("the NLL's bias is twice what it is", "spread.mean() / (2 * samples)", "spread.mean() / samples", RUN),
        ("the noise of draws does not shrink with images", "math.sqrt((spread / samples).sum()) / self._count", "math.sqrt((spread / samples).mean())", RUN),
    ),
    *_area(
        "mathematics",
        "models/two_layers",
        ("both layers have one noise", "jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)", "jax.random.fold_in(key, 0), jax.random.fold_in(key, 0)", "models/test_two_layers.py"),
        ("the lower latents have no prior of their own", "log_prior_below + log_prior_above,", "log_prior_above,", "models/test_two_layers.py"),
        ("the distribution is frozen between the layers", "above = routes.posterior(self.upper_encoder)(_as_image(h1))", "above = routes.posterior(self.upper_encoder(_as_image(h1)))", "models/test_two_layers.py"),
        ("a new image's lower latents are without noise", "between.tempered_sample(jax.random.fold_in(key, 0), temperature)", "between.tempered_sample(jax.random.fold_in(key, 0), 0.0)", "models/test_two_layers.py"),
    ),
    *_area(
        "optimiser",
        "training/optimizer",
        ("Optax's methods are not clipped", "grads = jax.tree.map(lambda grad: clipping * grad, grads)", "pass", "training/test_optimizer.py"),
        ("Optax's methods have a learning rate of 1", "lambda update: rate * update", "lambda update: update", "training/test_optimizer.py"),
        ("Optax's methods see no weights", "transformation.update(grads, state, weights)", "transformation.update(grads, state, jax.tree.map(jnp.zeros_like, weights))", "training/test_optimizer.py"),
        ("an experiment's own optimizer is not asked", '(own := own_function(config.code, "optimizer")) is not None', '(own := own_function(config.code, "optimizer")) is not None and False', "test_extension.py"),
    ),
    *_area(
        "an experiment's own code",
        "config/experiment_file",
        ("modules beside the file are not in the digest", 'digest.update(b"\\0" + name.encode() + b"\\0" + Path(file).read_bytes())', "pass", "test_extension.py"),
        ("changed code is taken", "if digest != sha256 and not accept_changed:", "if False:", "test_extension.py"),
        ("modules beside one file are found by another", "beside = {name: sys.modules.pop(name) for", "beside = {name: sys.modules[name] for", "models/test_seams.py"),
        ("libraries below the file are beside it", "Path(place).absolute().parent == folder", "folder in Path(place).absolute().parents", "models/test_seams.py"),
        ("what is imported already stands for its file", "hidden = {name: sys.modules.pop(name) for", "hidden = {name: sys.modules[name] for", "models/test_seams.py"),
        ("what was accepted once is accepted for ever", "        raise UserError(changed_code(file, sha256, digest))\n    return names", "        raise UserError(changed_code(file, sha256, digest))\n    _LOADED[file, sha256] = names\n    return names", "models/test_seams.py"),
    ),
    *_area(
        "analysis",
        "analysis/latents",
        ("a latent collapses by more than the share", "axis=0) >= 1 - DELTA", "axis=0) > 1 - DELTA", "analysis/test_latents.py::test_a_latent_has_collapsed_by_the_share_of_images_in_which_its_kl_is_small"),
    ),
    *_area(
        "analysis",
        "analysis/information",
        ("the aggregate posterior is a sum", "return total - math.log(count)", "return total", INFORMATION),
        ("images that fill up a block are counted", "jnp.where(present[:, None], each, -jnp.inf)", "each", INFORMATION),
        ("the aggregate posterior is of the last block", "np.logaddexp(total[draws], some[: len(draws)])", "some[: len(draws)]", INFORMATION),
    ),
    *_area(
        "analysis",
        "analysis/gaussian_mixture",
        ("a covariance is about the mean before", " - moved[:, :, None] * moved[:, None, :]", "", "analysis/test_ex_post.py"),
        ("points that fill up a part are counted", "jnp.where(there[None], jnp.exp(joint - log_density[None]), 0.0)", "jnp.exp(joint - log_density[None])", "analysis/test_ex_post.py"),
    ),
    *_area(
        "analysis",
        "analysis/ex_post",
        ("the difference has the other sign", "context.bounds.importance_weighted - each.importance_weighted", "each.importance_weighted - context.bounds.importance_weighted", "analysis/test_ex_post.py"),
        ("a scale stands for its logarithm", "np.log(diagonal)", "diagonal", "analysis/test_ex_post.py"),
    ),
    *_area(
        "analysis",
        "analysis/belief",
        ("what remains of a bias is an eighth", "fall / (FEWER - 1)", "fall / FEWER", "analysis/test_belief.py"),
    ),
    *_area(
        "analysis",
        "models/rates",
        ("the ratio of a latent has its scales exchanged", "+ p.log_scale - q.log_scale", "+ q.log_scale - p.log_scale", "analysis/test_latents.py::test_two_layers_are_told_apart_and_their_latents_rates_add_up"),
        ("a marginal has the conditional's scale", "q.mean, q.log_scale", "q.mean, q.log_diagonal", "analysis/test_latents.py::test_latents_that_depend_on_each_other_have_marginal_rates_and_a_flow_has_none"),
    ),
    *_area(
        "analysis",
        "training/collapse",
        ("a collapse is said at every evaluation", "before, self._is_collapsed = self._is_collapsed,", "before, self._is_collapsed = False,", "training/test_collapse.py"),
        ("the lower layer's latents are not counted", 'getattr(config.model.architecture, "lower_latents", 0)', "0", "training/test_collapse.py"),
    ),
    *_area(
        "analysis",
        "data/principal_variances",
        ("binarisation adds no variance", "noise = (x * (1 - x)).mean(0)", "noise = 0 * x.mean(0)", "data/test_principal_variances.py"),
        ("beta does not count", "beta * likelihood.sigma**2", "likelihood.sigma**2", "data/test_principal_variances.py"),
    ),
    *_area(
        "an experiment's own code",
        "runs/folder",
        ("a run goes on with other code", "if not config.code.accept_changed:", "if False:", "test_extension.py"),
    ),
    *_area(
        "an experiment's own code",
        "runs/run",
        ("the newest model stands for every step", "self.restored(until=step)", "self.restored()", "runs/test_api.py"),
    ),
    *_area(
        "evaluation",
        "analysis/one_image/hmc",
        ("what should be rejected is accepted", "_log_joint(proposal, ended, temperature) - _log_joint(point, momentum, temperature)", "_log_joint(point, momentum, temperature) - _log_joint(proposal, ended, temperature)", INVARIANT),
        ("the last half of a kick is missing", "return moved, half + 0.5 * step * _tempered(moved.gradients, temperature)", "return moved, half", LEAPFROG),
        ("momenta have no energy", "temperature) - 0.5 * jnp.sum(momentum**2)", "temperature)", INVARIANT),
        ("an energy that is no number is accepted", "jnp.isnan(log_ratio), -jnp.inf, log_ratio", "jnp.isnan(log_ratio), 0.0, log_ratio", PILOTS),
        ("the two densities change places", "(1 - temperature) * both[0] + temperature * both[1]", "temperature * both[0] + (1 - temperature) * both[1]", INVARIANT),
        ("momenta drift without the latents' units", "at(point.position + step * half)", "at(point.position + jnp.max(step) * half)", LEAPFROG),
    ),
    *_area(
        "evaluation",
        "analysis/one_image/annealing",
        ("moves are at the temperature before", "(betas[1:-1], changes[:-1])", "(betas[:-2], changes[:-1])", BOTH_SIDES),
        ("the first ratio counts forward alone", "jnp.asarray(betas[-1] - betas[0], jnp.float32) * first", "first", BOTH_SIDES),
        ("chains that count adapt their own steps", "jnp.mean(acceptance[settings.chains :])", "jnp.mean(acceptance[: settings.chains])", PILOTS),
        ("pilots count", "Ended(total[: settings.chains],", "Ended(total,", ONE_RISE),
        ("backward the steps are not reversed", "settings, forward.steps[::-1])", "settings, forward.steps)", f"{ANNEALED}::test_chains_backward_take_the_steps_of_the_forward_ones_in_reverse"),
        ("chains backward start at q's draws", "exact = path.at(ravel_pytree(latents)[0])", "exact = path.at(path.start(jnp.int32(0)))", BOTH_SIDES),
        ("the upper bound is a lower one", "upper._replace(bound=-upper.bound)", "upper", BOTH_SIDES),
        ("temperatures are evenly spaced", "1 / (1 + np.exp(-RADIUS * np.linspace(-1, 1, temperatures + 1)))", "np.linspace(0, 1, temperatures + 1)", f"{ANNEALED}::test_temperatures_are_even_on_a_sigmoid_and_one_is_a_single_rise"),
        ("all chains start at one draw", "drawn = _key(key, chain, 0)", "drawn = _key(key, 0, 0)", ONE_RISE),
        ("chains do not start at q", "return draw.log_prior if from_prior else draw.log_posterior", "return draw.log_prior", ONE_RISE),
        ("p(x, z) is p(x|z)", "return draw.log_prior + draw.likelihood.log_prob(x)", "return draw.likelihood.log_prob(x)", ONE_RISE),
    ),
    *_area(
        "evaluation",
        "analysis/one_image/weights",
        ("the error is of the weights' biased variance", "/ (count - 1))", "/ count)", ONE_RISE),
    ),
    *_area(
        "evaluation",
        "analysis/one_image/refined_posterior",
        ("posteriors are scored with the noise they were optimised with", "settings), key_scores, settings)", "settings), key, settings)", FRESH),
        ("the two posteriors see other noise", "values(refined, encoded, fold_in(key, k))", "values(refined, encoded, fold_in(key, k + 1))", FRESH),
        ("the likelihood alone is optimised", "return draw.likelihood.log_prob(x) - jnp.sum(draw.rates)", "return draw.likelihood.log_prob(x)", DIAGONAL),
        ("the approximation gap is the whole gap", "return self.log_likelihood - self.refined_elbo", "return self.log_likelihood - self.elbo", DIAGONAL),
        ("the ELBO is minimised", "return -jnp.mean(jax.vmap(elbo)", "return jnp.mean(jax.vmap(elbo)", DIAGONAL),
        ("the mixture of both posteriors has twice the density", "+ math.log(2)", "", FRESH),
        ("the other posterior is this one", "for q in (posterior, other))", "for q in (posterior, posterior))", FRESH),
    ),
    *_area(
        "evaluation",
        "models/two_layers",
        ("the upper latents have no density", "(encoded.log_prob(h1), above.log_prob(h2))", "(encoded.log_prob(h1), 0 * above.log_prob(h2))", GIVEN),
        ("a new image's latents are not the ones it is made of", "return (h1, h2), self.decode(h1)", "return (h1 + 1, h2), self.decode(h1)", GIVEN),
    ),
    *_area(
        "evaluation",
        "models/posteriors/full_gaussian",
        ("what lies above the diagonal counts", "jnp.tril(self.below, -1) + jnp.diag(", "self.below + jnp.diag(", GIVEN),
    ),
    *_area(
        "evaluation",
        "models/vae",
        ("given latents of a subclass that draws otherwise", "if type(self).draw is not VAE.draw:\n            return super().at(", "if False:\n            return super().at(", GIVEN),
    ),
]
