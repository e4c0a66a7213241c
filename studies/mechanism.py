"""Looks at a step of f-EBM: how far chains are from q, how good H is, of what the gradient is.

For energies without labels, on images.
"""

import numpy as np

__all__ = ["Mechanism", "parts_of_gradient"]

# Examples and chains of a look, at most; steps of the long chains; HMC steps towards q itself.
ROWS, LONG, EXACT = 360, 300, 40


def parts_of_gradient(divergence, energies, ratio_data, ratio_model, weights) -> dict:
    """Return the parts of the gradient of Theorem 3 by the weight each gives to energies.

        E_p[a ∇E] − E_q[b ∇E] + Cov_q(F, ∇E),   a = d f'(eʳ)/dr, b = dF/dr, F = f*(f'(eʳ))

    All are sums of wᵢ ∇Eᵢ, as is the gradient of contrastive divergence, E_p[∇E] − E_q[∇E]: the
    theorem's is that one with a in the place of 1 on data, and b − F + E_q[F] on samples.

    Args:
        divergence: A `Divergence`.
        energies: Function without arguments -> (E at the data [n], E at samples of the model [m]).
        ratio_data: r at the data, [n].
        ratio_model: r at the samples, [m].
        weights: The variables θ.

    Returns:
        Name -> gradient, one vector: "data", "model", "covariance", "whole" (their sum), "level",
        which is the whole without its part along a constant in E, as `energy_surrogate` takes it
        out; that of contrastive divergence, "cd", and "cd_first" and "cd_second" by halves of
        either batch; and "on_data" and "on_model", the weights in the place of 1.
    """
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        tape.watch([ratio_data, ratio_model])
        derivative = divergence.derivative(ratio_data)
        conjugate = divergence.conjugate(ratio_model)
    a, b = tape.gradient(derivative, ratio_data), tape.gradient(conjugate, ratio_model)
    n, m = (tf.cast(tf.shape(r)[0], tf.float32) for r in (ratio_data, ratio_model))
    centred = (conjugate - tf.reduce_mean(conjugate)) * m / (m - 1.0)
    zero = tf.zeros_like(ratio_data), tf.zeros_like(ratio_model)
    first = [tf.cast(tf.range(tf.shape(z)[0]) % 2 == 0, tf.float32) for z in zero]
    slope = 0.5 * (tf.reduce_mean(a) - tf.reduce_mean(b))
    pairs = {
        "constant": (zero[0] + slope / n, zero[1] + slope / m),
        "data": (a / n, zero[1]),
        "model": (zero[0], -b / m),
        "covariance": (zero[0], centred / m),
        "cd_first": (2.0 * first[0] / n, -2.0 * first[1] / m),
        "cd_second": (2.0 * (1.0 - first[0]) / n, -2.0 * (1.0 - first[1]) / m),
    }
    found = {}
    with tf.GradientTape(persistent=True) as tape:
        e_data, e_model = energies()
        sums = {
            name: tf.reduce_sum(on_data * e_data) + tf.reduce_sum(on_model * e_model)
            for name, (on_data, on_model) in pairs.items()
        }
    for name, value in sums.items():
        gradients = tape.gradient(value, weights, unconnected_gradients="zero")
        found[name] = tf.concat([tf.reshape(g, [-1]) for g in gradients], 0)
    found["whole"] = found["data"] + found["model"] + found["covariance"]
    found["level"] = found["whole"] - found.pop("constant")
    found["cd"] = 0.5 * (found["cd_first"] + found["cd_second"])
    return {**found, "on_data": a, "on_model": b - centred}


class Mechanism:
    """Look at a model through its training, without a change to it.

    Args:
        model: An energy model with a buffer; figures of r are those of an f-EBM.
        train: `ImageData` that it is trained on.
        held_out: `ImageData` that it is not.
        classifier: Whose features tell how far two sets of images are apart.
        recipe: `Recipe` whose streams have the noise of the data.
    """

    def __init__(self, model, train, held_out, classifier, recipe):
        import tensorflow as tf

        from tf_febm import evaluation, samplers

        self._model, self._classifier = model, classifier
        count = min(ROWS, len(train.images), len(held_out.images))

        def noisy(images):
            stream = recipe.replace(batch_size=count).stream(images)
            return next(iter(stream.take(1))).numpy()

        # As for the training, with noise.
        self._train, self._held_out = noisy(train), noisy(held_out)
        distance = evaluation.frechet_distance(
            *(classifier.features(data.images) for data in (train, held_out))
        )
        self._unit = distance
        exact = samplers.HMC(0.02, 10, EXACT, burn_in=EXACT // 2, bounds=model.bounds)
        self._exact = tf.function(lambda x: exact(model.energy, x, (0, 0)))

    def look(self, step: int, long: int = LONG) -> dict:
        """Return what is measured of the present weights, at a step."""
        model, count = self._model, len(self._train)
        chains, others, more = (
            model.sample(count, seed=(step, k), initial="buffer", num_steps=n)
            for k, n in enumerate((None, None, long))
        )
        # Chains of another start know nothing of where training had them.
        anew = model.sample(count, seed=(step, 3), initial="noise", num_steps=long)
        exact = self._exact(chains)
        names = {"long": more, "from_noise": anew, "exact": exact, "same": others}
        energies = {name: np.asarray(model.energy(x)) for name, x in names.items()}
        here = np.asarray(model.energy(chains))
        found = {
            "step": step,
            "energy_std": float(here.std()),
            "energy_data": float(np.mean(model.energy(self._held_out))),
            "energy_chains": float(here.mean()),
            **{f"energy_{name}": float(e.mean()) for name, e in energies.items()},
            **{f"frechet_{name}": self._apart(chains, x) for name, x in names.items()},
            "frechet_data": self._apart(chains, self._held_out),
            "moved_exact": float(np.mean(np.abs(exact - chains))),
        }
        if hasattr(model, "divergence"):
            found |= self._of_ratio(chains, others)
        return found

    def _apart(self, one, other) -> float:
        """Return the Fréchet distance of two sets, over that of the training and test images."""
        from tf_febm import evaluation

        features = (self._classifier.features(np.clip(np.asarray(x), 0, 1)) for x in (one, other))
        return evaluation.frechet_distance(*features) / self._unit

    def _of_ratio(self, chains, others) -> dict:
        import tensorflow as tf
        from sklearn.metrics import roc_auc_score
        from sklearn.neural_network import MLPClassifier

        model, count = self._model, len(self._train)
        r_train, r_chains, r_data, r_others = (
            tf.constant(model.log_density_ratio(x))
            for x in (self._train, chains, self._held_out, others)
        )
        labels = np.repeat([1, 0], count)
        flat = [np.reshape(x, (count, -1)) for x in (self._train, chains, self._held_out, others)]
        judge = MLPClassifier((128,), alpha=0.1, max_iter=60, early_stopping=True, random_state=0)
        best = judge.fit(np.concatenate(flat[:2]), labels).predict_proba(np.concatenate(flat[2:]))

        def energies():
            return (tf.reshape(model.energy_network(x), [-1]) for x in (self._train, chains))

        weights = model.energy_network.trainable_variables
        parts = parts_of_gradient(model.divergence, energies, r_train, r_chains, weights)
        norms = {
            f"norm_{name}": float(tf.norm(parts[name]))
            for name in ("data", "model", "covariance", "whole", "level", "cd")
        }
        on = {name: parts[f"on_{name}"].numpy() for name in ("data", "model")}
        return {
            "auroc": float(roc_auc_score(labels, np.concatenate([r_data, r_others]))),
            "auroc_of_classifier": float(roc_auc_score(labels, best[:, 1])),
            # 1 for both, were r log p/q.
            "mean_ratio": float(np.mean(np.exp(np.float64(r_others)))),
            "mean_inverse_ratio": float(np.mean(np.exp(-np.float64(r_data)))),
            "ratio_std": float(np.std(np.concatenate([r_data, r_others]))),
            **norms,
            "cosine": _cosine(parts["whole"], parts["cd"]),
            "cosine_level": _cosine(parts["level"], parts["cd"]),
            "cosine_of_halves": _cosine(parts["cd_first"], parts["cd_second"]),
            # Deviation over mean: 0 where all count alike.
            **{f"unevenness_{name}": float(w.std() / abs(w.mean())) for name, w in on.items()},
            "negative_share": float(np.mean(on["model"] < 0.0)),
        }


def _cosine(one, other) -> float:
    import tensorflow as tf

    return float(tf.reduce_sum(one * other) / (tf.norm(one) * tf.norm(other)))
