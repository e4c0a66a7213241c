"""Variants of f-EBM that are no settings of a recipe: a mixture of divergences, a smooth H."""

__all__ = ["held_smooth", "mixed"]


def mixed(share: float):
    """Return share·KL + (1 − share)·reverse KL."""
    import tensorflow as tf

    from tf_febm import divergences

    kl, reverse = divergences.get("kl"), divergences.get("reverse_kl")

    def of(part: str):
        one, other = getattr(kl, part), getattr(reverse, part)
        return lambda r: share * one(r) + (1.0 - share) * other(r)

    return divergences.from_generator(
        lambda u: share * u * tf.math.log(u) - (1.0 - share) * tf.math.log(u),
        f"kl_{share:g}_reverse_kl", derivative=of("derivative"), conjugate=of("conjugate"),
    )  # fmt: skip


def held_smooth(network, weight: float):
    """Return a network that adds weight·mean ‖∇ₓH‖² of its last call in training to its losses."""
    import keras
    import tensorflow as tf

    class Smooth(keras.Model):
        def __init__(self):
            super().__init__(name="variational")
            self.inside = network
            self.build(network.input_shape)

        def call(self, x, training=False):
            if not training:
                return self.inside(x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                value = self.inside(x)
            slope = tf.reshape(tape.gradient(value, x), [tf.shape(x)[0], -1])
            self.add_loss(weight * tf.reduce_mean(tf.reduce_sum(tf.square(slope), axis=1)))
            return value

    return Smooth()
