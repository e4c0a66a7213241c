"""FEBM: what it refuses, and what it says then."""

import keras
import numpy as np
import pytest

import tf_febm


class TestBadInput:
    def test_values(self, make, images):
        broken = images.copy()
        broken[40, 0, 0, 0] = np.nan
        model = make()
        with pytest.raises(ValueError, match="Stopped at a bad batch: NaN or Inf in x"):
            model.fit(broken, batch_size=16, verbose=0)
        with pytest.raises(ValueError, match=r"x outside the bounds \[0, 1\]"):
            model.fit(images * 255, batch_size=16, verbose=0)

    @pytest.mark.parametrize("method", ["evaluate", "train_on_batch"])
    def test_bad_batches_elsewhere(self, make, images, method):
        with pytest.raises(ValueError, match="bad batch: NaN or Inf in x"):
            getattr(make(eager=True), method)(np.full_like(images, np.nan))

    def test_a_bad_batch_leaves_the_weights_as_they_were(self, make, images):
        model = make()
        before = [weight.copy() for weight in model.get_weights()]
        with pytest.raises(ValueError, match="NaN"):
            model.fit(np.full_like(images, np.nan), batch_size=16, verbose=0)
        for mine, theirs in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_shapes_and_dtypes(self, make, images):
        model = make()
        with pytest.raises(ValueError, match=r"\('n', 4, 4, 1\); received \(2, 4, 4\)"):
            model.energy(images[:2, ..., 0])
        with pytest.raises(TypeError, match="received uint8"):
            model.energy(images[:2].astype(np.uint8))
        with pytest.raises(ValueError, match=r"shape \(4, 4, 1\); received \(3, 4, 1\)"):
            model.fit(images[:, :3], verbose=0)
        with pytest.raises(ValueError, match="yields labels, but the energy network takes none"):
            model.fit(images, images[:, 0, 0, 0], sample_weight=np.ones(64), verbose=0)
        with pytest.raises(ValueError, match=r"sample_weight .*received shape \(63,\) for 64"):
            model.fit(images, sample_weight=np.ones(63), verbose=0)

    def test_networks_that_are_none(self, make):
        net = tf_febm.networks.mlp((4, 4, 1))
        with pytest.raises(TypeError, match="energy must be a Keras"):
            make(networks=(lambda x: x, net))
        with pytest.raises(ValueError, match="two networks"):
            make(networks=(net, net))
        trunk = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Dense(3, name="trunk")])
        heads = [
            keras.Sequential([trunk, keras.layers.Flatten(), keras.layers.Dense(1)]) for _ in "ab"
        ]
        with pytest.raises(ValueError, match="energy and variational must be networks of their ow"):
            make(networks=heads)
        conditional = tf_febm.networks.mlp((4, 4, 1), num_classes=3)
        with pytest.raises(ValueError, match="3 and None classes"):
            make(networks=(conditional, net))
        wide = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
        with pytest.raises(ValueError, match=r"one value per example.*received shape \(2, 16\)"):
            make(networks=(wide, net))

    def test_settings(self, make):
        for settings, message in (
            ({"l2_coeff": -1.0}, "l2_coeff"),
            ({"l2_coeff": float("inf")}, "l2_coeff"),
            ({"warmup_steps": 2.7}, "warmup_steps"),
            ({"num_classes": 0}, "num_classes"),
            ({"average_decay": 1.0}, "average_decay"),
            ({"buffer": 10_000}, "buffer must be a ReplayBuffer"),
            ({"sampler": 3}, "sampler must be callable"),
            ({"divergence": "tv"}, "Unknown divergence 'tv'"),
        ):
            with pytest.raises((ValueError, TypeError), match=message):
                make(**settings)
        with pytest.raises(ValueError, match="two objects"):
            optimizer = keras.optimizers.Adam()
            make(compile=False).compile(optimizer, optimizer)

    def test_sampling_arguments(self, make):
        model = make()
        for bad in (0, -3, 2.5, True):
            with pytest.raises(ValueError, match="num_samples"):
                model.sample(bad)
        with pytest.raises(ValueError, match="received 'data'"):
            model.sample(2, initial="data")
