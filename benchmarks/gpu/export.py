"""Write chains and training steps as StableHLO, to run where there is a GPU but no TensorFlow.

    python benchmarks/gpu/export.py FOLDER --images=faces.npz [--only=digits,faces]

A folder for each program then holds

    program.mlir.gz   StableHLO, serialised: one call, (x, more…, state…) -> (results…, state…)
    manifest.json     names, shapes and types of what goes in and comes out, and how it begins
    state.npz         what begins neither as zeros nor as another part of the state
    expected.npz      of some calls: results, and a few entries of each part of the state after it

`run.py` needs these, JAX and NumPy; `import_run.py` makes a model of what it trained.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from programs import PROGRAMS, Program, entries, images_in, inputs_of, model_of

import tf_febm
from tf_febm import samplers


def chain_of(model, recipe):
    """Return (x, seed) -> energies of x, samples and the next seed, of chains from x alone."""
    sampler = samplers.Langevin(
        recipe.step_size, recipe.noise_scale, recipe.num_steps, grad_clip=recipe.grad_clip
    )

    def chain(x, seed):
        with tf_febm.networks.cached_weights(model.energy_network):
            samples = sampler(model.energy, x, seed)
        # By the energies at the start others can tell whether they do the same work.
        return {
            "energy": model.energy(x),
            "samples": samples,
            "seed": seed + tf.constant([0, 1]),
        }

    return chain


def writing_all(function, resources):
    """Return a function that also writes all that it reads: XLA returns what is written."""

    def run(*arguments):
        found = function(*arguments)
        for handle, dtype in resources:
            value = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
            changed = value + tf.zeros([], dtype)
            tf.raw_ops.AssignVariableOp(resource=handle, value=changed)
        return found

    return run


def resources_of(concrete) -> list[tuple]:
    """Return (handle, dtype) of the variables that a concrete function captures, in its order."""
    return [
        (tensor, tf.as_dtype(tensor._handle_data.shape_and_type[0].dtype))
        for tensor in concrete.captured_inputs
        if tensor.dtype == tf.resource
    ]


def names_of(model, resources) -> list[str]:
    """Return "group/number" of each variable by what the model calls its state."""
    known = {}
    if model.compiled:
        for group, variables in model.state_variables().items():
            known |= {id(v.handle): f"{group}/{i}" for i, v in enumerate(variables)}
    return [known.get(id(h), f"captured/{i}") for i, (h, _) in enumerate(resources)]


def initial(values: list[np.ndarray]) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Return how each part of the state begins, and the arrays that must be stored for it."""
    begins: list[dict] = []
    stored: dict[str, np.ndarray] = {}
    for i, value in enumerate(values):
        same = (j for j in range(i) if np.array_equal(values[j], value) and value.size > 16)
        other = next((j for j in same if values[j].dtype == value.dtype), None)
        if not value.any():
            begins.append({"begins": "zeros"})
        elif other is not None:
            begins.append({"begins": f"as {other}"})
        else:
            begins.append({"begins": "stored"})
            stored[str(i)] = value
    return begins, stored


def round_weights(model) -> None:
    """Round weights to float16, in which they are stored."""
    for network in model.evaluated_networks:
        for variable in network.variables:
            if variable.dtype == "float32":
                variable.assign(np.asarray(variable).astype(np.float16).astype(np.float32))
    for average, _ in model._averages().values():
        average.restart()


def write(name: str, program: Program, folder: Path, images, calls: int) -> None:
    """Write a program's folder; see the head of this module."""
    model, recipe = model_of(program, images)
    round_weights(model)
    shape = (recipe.batch_size, *model.sample_shape)
    specs = [tf.TensorSpec(shape, tf.float32)]
    function = model.train_step
    if program.kind == "chain":
        specs.append(tf.TensorSpec([2], tf.int32))
        function = chain_of(model, recipe)

    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    resources = resources_of(traced)
    if program.kind == "step":
        function = writing_all(function, resources)
    compiled = tf.function(function, jit_compile=True, autograph=False)
    concrete = compiled.get_concrete_function(*specs)
    resources = resources_of(concrete)
    if len(resources) != len(concrete.captured_inputs):
        raise ValueError(f"{name} captures tensors that are no variables.")
    results = sorted(concrete.structured_outputs)
    values = [read(*resource) for resource in resources]
    begins, stored = initial(values)
    paths = {id(v.value.handle): v.path for net in model.networks for v in net.variables}
    state = [
        {
            "name": n,
            "path": paths.get(id(h), ""),
            "shape": list(v.shape),
            "dtype": v.dtype.name,
            **begin,
        }
        for (h, _), n, v, begin in zip(
            resources, names_of(model, resources), values, begins, strict=True
        )
    ]
    inputs = [{"shape": s.shape.as_list(), "dtype": s.dtype.name} for s in specs]
    manifest = {
        "name": name,
        "program": program.as_dict(),
        "recipe": recipe.as_dict(),
        "inputs": inputs,
        "results": results,
        "state": state,
        "returns_state": program.kind == "step",
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
    ir = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized")
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    with gzip.open(place / "program.mlir.gz", "wb") as file:
        file.write(ir)
    small = {k: v.astype(np.float16) if exact_in_half(v) else v for k, v in stored.items()}
    np.savez_compressed(place / "state.npz", **small)
    np.savez_compressed(place / "expected.npz", **expected(compiled, inputs, resources, calls))
    (place / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def read(handle, dtype) -> np.ndarray:
    """Return the value of a variable by its handle."""
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype).numpy()


def exact_in_half(value: np.ndarray) -> bool:
    """Whether float16 keeps all of an array."""
    if value.dtype != np.float32:
        return False
    with np.errstate(over="ignore"):
        return np.array_equal(value.astype(np.float16).astype(np.float32), value)


def expected(compiled, inputs, resources, calls: int) -> dict[str, np.ndarray]:
    """Return what some calls come to, as TensorFlow's own XLA has it."""
    found: dict[str, list] = {}
    given = None
    for call in range(calls):
        given = inputs_of(inputs, call, given)
        results = compiled(*map(tf.constant, given))
        if "seed" in results:
            given[1] = results["seed"].numpy()
        for name in results:
            found.setdefault(f"result {name}", []).append(entries(results[name].numpy()))
        for i, resource in enumerate(resources):
            found.setdefault(f"state {i}", []).append(entries(read(*resource)))
    return {name: np.stack(values) for name, values in found.items()}


def main() -> int:
    """Write the programs that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=Path, help="an .npz of images, uint8 [n, 32, 32, 3]")
    parser.add_argument("--only", default=",".join(n for n, p in PROGRAMS.items() if p.usual))
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        print(f"error: no program {unknown[0]}: there are {', '.join(PROGRAMS)}.", file=sys.stderr)
        return 1
    images = None if arguments.images is None else images_in(arguments.images)
    for name in names:
        program = PROGRAMS[name]
        write(name, program, arguments.folder, images, program.calls)
        size = sum(file.stat().st_size for file in (arguments.folder / name).iterdir())
        print(f"{name}: {size / 2**20:.1f} MiB", flush=True)
        keras.backend.clear_session()
    return 0


if __name__ == "__main__":
    sys.exit(main())
