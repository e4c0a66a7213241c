"""Saving and loading of models: checkpoint state and Keras files."""

from pathlib import Path
from typing import Any

import keras

from tf_febm import arguments, serving, workers
from tf_febm.models.fitting import Fitting
from tf_febm.samplers.sampler import serialised_part

__all__ = ["Saving"]


@arguments.checked
class Saving(Fitting):
    """The part of a model that saves it."""

    def state_variables(self) -> dict:
        """Return all that training changes: group name -> list of `tf.Variable`.

        Raises:
            ValueError: The model is not built and compiled.
        """
        if not self.built or getattr(self, "optimizer", None) is None:
            raise ValueError("The model must be built and compiled before its state is saved.")
        self._notice_unfrozen()
        groups = {
            "energy": self.energy_network.variables,
            "optimizer": self.optimizer.variables,
            "random_state": [self.seed_generator.state],
        }
        second = self.SECOND_PLAYER
        if second is not None:
            groups[second] = getattr(self, f"{second}_network").variables
            groups[f"{second}_optimizer"] = getattr(self, f"{second}_optimizer").variables
        state = {name: [v.value for v in variables] for name, variables in groups.items()}
        state["mean_weight"] = [self.mean_weight.sums]
        if self.conditional:
            state["class_counts"] = [self.class_counts.sums]
        if self.buffer is not None:
            state |= self._of_replicas("buffer", self.buffer.parts())
        return state | {name: list(kept.variables) for name, (kept, _) in self._averages().items()}

    def _of_replicas(self, name: str, parts: list) -> dict:
        """Return what each replica of this process has, by name; the first has the name alone."""
        first = workers.worker_number(self.distribute_strategy) * len(parts)
        return {name if i == 0 else f"{name}_{i}": part for i, part in enumerate(parts, first)}

    def own_variables(self) -> dict:
        """Return what no layer, optimizer or buffer keeps: name in files -> variable."""
        found = {"random_state": self.seed_generator.state}
        found |= {
            f"network_state_{i}": v for i, v in enumerate(self._states_that_keras_leaves_out())
        }
        if self.built:
            found["mean_weight"] = self.mean_weight.sums
            if self.conditional:
                found["class_counts"] = self.class_counts.sums
        for name, (average, _) in self._averages().items():
            found[f"{name}_updates"] = average.updates
            found |= {f"{name}_{i}": variable for i, variable in enumerate(average.averages)}
        return found

    def save_own_variables(self, store: Any) -> None:
        """Write what is no layer's or optimizer's variable to a `.keras` or `.weights.h5` file."""
        for name, variable in self.own_variables().items():
            store[name] = variable.numpy()
        for name, value in {**self._calibration_state(), **self._log_partition_state()}.items():
            store[name] = value
        if self.buffer is not None and self.buffer.built:
            for key, value in self.buffer.state().items():
                store[f"buffer_{key}"] = value

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote."""
        stored = set(store.keys())
        for name, variable in self.own_variables().items():
            # Files of earlier versions do not have all of them.
            if name in stored:
                variable.assign(store[name][()])
        self._load_calibration(store)
        self._load_log_partition(store)
        if self.buffer is not None and "buffer_written" in stored:
            keys = [key for key in stored if key.startswith("buffer_")]
            state = {key.removeprefix("buffer_"): store[key] for key in keys}
            self.buffer.load_state(state)

    def get_weights(self) -> list:
        """Return all weights as arrays, and behind them the running averages of weights, if any.

        So what stores the weights of an epoch and gives them back, such as
        `keras.callbacks.EarlyStopping(restore_best_weights=True)`, does so with their averages.
        """
        weights = super().get_weights()
        for average, _ in self._averages().values():
            weights += [variable.numpy() for variable in average.variables]
        return weights

    def set_weights(self, weights: arguments.Tensor) -> None:
        """Set all weights, from what `get_weights` returned.

        Where the averages are missing, they begin anew at these weights.

        Args:
            weights: Arrays in the order of `weights`, and of the averages behind them or not.
        """
        weights, averages = list(weights), [average for average, _ in self._averages().values()]
        behind = [variable for average in averages for variable in average.variables]
        count = len(self.weights)
        kept = weights[count:] if len(weights) == count + len(behind) else []
        super().set_weights(weights[: len(weights) - len(kept)])
        for variable, value in zip(behind, kept, strict=False):
            variable.assign(value)
        if not kept:
            for average in averages:
                average.restart()

    def _states_that_keras_leaves_out(self) -> list:
        """Return the variables of the networks that are no weights: the random state of dropout."""
        return [
            variable
            for network in self.networks
            for variable in network.variables
            if all(variable is not weight for weight in network.weights)
        ]

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        serialise = keras.saving.serialize_keras_object
        return {
            "energy": serialise(self.energy_network),
            "sampler": self._sampler_config(),
            "buffer": None if self.buffer is None else serialise(self.buffer),
            "num_classes": self.num_classes,
            "reference": None if self.reference is None else serialise(self.reference),
            "class_names": None if self.class_names is None else list(self.class_names),
            "average_decay": self.average_decay,
            "seed": self.seed,
            "name": self.name,
            **({} if self.column_names is None else {"column_names": list(self.column_names)}),
            **self._settings(),
        }

    def export(
        self,
        filepath: arguments.Path,
        format: str = "saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        *,
        num_steps: int | None = None,
    ) -> Path:
        """Write the model for serving: `tf_febm.export(model, filepath, format)`, as a method.

        The SavedModel has energies, scores, log density ratios and samples, and checks what it is
        given; beside the signatures it has `serve`, which `keras.layers.TFSMLayer` calls.

        Args:
            filepath: See `tf_febm.export`, as for the others.
            format: See there; Keras' names "tf_saved_model" and "litert" are taken, too.
            verbose: Has no effect; an argument of `keras.Model.export`.
            input_signature: Must be None: inputs are float32 [n, …] for any n, and labels.
            num_steps: See there.

        Returns:
            The path.

        Raises:
            ValueError: An input_signature is given, or see `tf_febm.export`.
        """
        del verbose
        if input_signature is not None:
            raise ValueError(
                "export of a model of tf_febm takes no input_signature: x is float32 [n, …] for "
                f"any n; received {input_signature!r}."
            )
        return serving.export(self, filepath, format, num_steps=num_steps)

    def _sampler_config(self) -> dict:
        """Return the sampler, serialised, if it is something that can be loaded again."""
        sampler = self.sampler
        if self.reference is not None and sampler.spread == 1.0:
            # It becomes preconditioned by the reference again.
            sampler = sampler.sampler
        return serialised_part("sampler", sampler)

    def get_compile_config(self) -> dict | None:
        """Return all optimizers, serialised, so that a loaded model trains on."""
        if getattr(self, "optimizer", None) is None:
            return None
        # Before the optimizer's variables are written.
        self._notice_unfrozen()
        names = ["optimizer"]
        if self.SECOND_PLAYER is not None:
            names.append(f"{self.SECOND_PLAYER}_optimizer")
        return {
            **{n: keras.saving.serialize_keras_object(getattr(self, n)) for n in names},
            "jit_compile": bool(self.jit_compile),
            "run_eagerly": bool(self.run_eagerly),
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config: dict) -> None:
        """Compile from the result of `get_compile_config`."""
        deserialise = keras.saving.deserialize_keras_object
        self.compile(**{k: deserialise(v) if isinstance(v, dict) else v for k, v in config.items()})

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        """Make a model from the result of `get_config`."""
        names = config.get("column_names")
        config = {key: value for key, value in config.items() if key != "column_names"}
        model = cls(
            **{
                key: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
                if isinstance(value, dict)
                else value
                for key, value in config.items()
            }
        )
        model.column_names = names
        return model
