"""Check, time and train what `export.py` wrote, with JAX and NumPy alone.

    python benchmarks/gpu/run.py FOLDER [--train=paper_64 --images=faces.npz --out=OUT]

Every program is compiled for the device that JAX finds. Those that come with expected results are
held against them, call by call; all are timed; at last one is trained on images for some seconds,
and its weights and samples are written as .npz files of at most 15 MiB.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np

# Entries of each result that are compared.
ENTRIES = 16
# Bytes of a file of weights.
MOST_BYTES = 15 * 2**20


def entries(value: np.ndarray) -> np.ndarray:
    """Return some entries of an array, evenly spread, float64 [ENTRIES]."""
    flat = np.asarray(value).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, ENTRIES).astype(int)].astype(np.float64)


def inputs_of(inputs: list[dict], call: int, before: list | None) -> list[np.ndarray]:
    """Return what a call is given: images of a seed of its own, and the seed it was told."""
    rng = np.random.default_rng(call)
    images = rng.random(inputs[0]["shape"], np.float32)
    if len(inputs) == 1:
        return [images]
    return [images, np.array([1, 2], np.int32) if before is None else before[1]]


class Executable:
    """A program, compiled, with its state on the device.

    Args:
        folder: What `export.py` wrote of it.
    """

    def __init__(self, folder: Path):
        import jax

        # Counters of steps are int64.
        jax.config.update("jax_enable_x64", True)
        self.jax = jax
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        with np.load(folder / "expected.npz") as file:
            self.expected = dict(file)
        self.state = [jax.device_put(value) for value in self._initial(folder)]
        with gzip.open(folder / "program.mlir.gz") as file:
            self._compile(file.read())

    def _initial(self, folder: Path) -> list[np.ndarray]:
        values: list[np.ndarray] = []
        with np.load(folder / "state.npz") as stored:
            for i, part in enumerate(self.manifest["state"]):
                begins = part["begins"]
                if begins == "zeros":
                    values.append(np.zeros(part["shape"], part["dtype"]))
                elif begins == "stored":
                    values.append(stored[str(i)].astype(part["dtype"]))
                else:
                    values.append(values[int(begins.removeprefix("as "))].copy())
        return values

    def _compile(self, program: bytes) -> None:
        """Compile StableHLO that no function of JAX's own made, for which it has no public way."""
        from jax._src.interpreters import mlir
        from jax._src.lib import xla_client
        from jaxlib import _jax
        from jaxlib.mlir import ir

        with mlir.make_ir_context():
            module = ir.Module.parse(program)
            if self.manifest["returns_state"]:
                self._donate(module, ir)
            devices = self.jax.devices()[:1]
            options = xla_client.CompileOptions()
            self._run = devices[0].client.compile_and_load(
                mlir.module_to_bytecode(module), _jax.DeviceList(tuple(devices)), options
            )

    def _donate(self, module, ir) -> None:
        """Let each part of the state be written over by what it becomes."""
        main = next(op for op in module.body if op.attributes["sym_name"].value == "main")
        first, results = len(self.manifest["inputs"]), len(self.manifest["results"])
        kinds = [{} for _ in main.arguments]
        integer = ir.IntegerType.get_signless(32)
        for i in range(len(self.manifest["state"])):
            place = ir.IntegerAttr.get(integer, results + i)
            kinds[first + i] = {"tf.aliasing_output": place}
        main.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(k) for k in kinds])

    def __call__(self, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Make one call; the state becomes what it returns."""
        given = [self.jax.device_put(value) for value in inputs] + self.state
        found = self._run.execute_sharded(given).disassemble_into_single_device_arrays()
        found = [part[0] for part in found]
        names = self.manifest["results"]
        if self.manifest["returns_state"]:
            self.state = found[len(names) :]
        return dict(zip(names, found, strict=False))

    def check(self) -> float | None:
        """Return the largest difference from what TensorFlow found, relative; None without any."""
        if not self.expected:
            return None
        worst, given = 0.0, None
        for call in range(len(next(iter(self.expected.values())))):
            given = inputs_of(self.manifest["inputs"], call, given)
            results = self(given)
            if "seed" in results:
                given[1] = np.asarray(results["seed"])
            found = {f"result {name}": value for name, value in results.items()}
            found |= {f"state {i}": value for i, value in enumerate(self.state)}
            for name, values in self.expected.items():
                mine, theirs = entries(np.asarray(found[name])), values[call]
                scale = max(float(np.abs(theirs).max()), 1e-3)
                worst = max(worst, float(np.abs(mine - theirs).max()) / scale)
        return worst

    def time(self, seconds: float) -> dict[str, float]:
        """Return the median seconds of a call, and of PyTorch's if it does the same, in turns."""
        inputs = inputs_of(self.manifest["inputs"], 0, None)
        sides = {"seconds": lambda: self.jax.block_until_ready(list(self(inputs).values()))}
        peer = self._peer(inputs)
        if peer is not None:
            sides["seconds in PyTorch"] = peer
        taken: dict[str, list[float]] = {side: [] for side in sides}
        end = time.perf_counter() + seconds
        while len(taken["seconds"]) < 3 or time.perf_counter() < end:
            for side, call in sides.items():
                began = time.perf_counter()
                call()
                taken[side].append(time.perf_counter() - began)
        # The first one may still allocate.
        return {side: float(np.median(values[1:])) for side, values in taken.items()}

    def _peer(self, inputs):
        """Return the same chain in PyTorch, if that is here and this is one of the paper's network.

        Raises:
            ValueError: Its energies are others: the two would not do the same work.
        """
        program = self.manifest["program"]
        if program["kind"] != "chain" or self.manifest["recipe"]["network"] != "resnet32":
            return None
        try:
            import in_torch
        except ImportError:
            return None
        half = program["policy"] == "mixed_bfloat16"
        values = [np.asarray(value) for value in self.state]
        run, theirs = in_torch.chain_and_energy(self.manifest, values, inputs[0], half)
        mine = np.asarray(self(inputs)["energy"])
        # bfloat16 has three digits.
        allowed = (3e-2 if half else 1e-3) * max(float(np.abs(theirs).max()), 1e-3)
        if float(np.abs(mine - theirs).max()) > allowed:
            raise ValueError(f"PyTorch has the energies {theirs[:3]}, the program {mine[:3]}.")
        return run


def batches(images: np.ndarray, recipe: dict, rng):
    """Yield batches in [0, 1) of 8-bit images, with the noise and the mirroring of a recipe."""
    order = np.empty(0, int)
    while True:
        if len(order) < recipe["batch_size"]:
            order = np.concatenate([order, rng.permutation(len(images))])
        chosen, order = order[: recipe["batch_size"]], order[recipe["batch_size"] :]
        x = (images[chosen] + rng.random(images[chosen].shape, np.float32)) / np.float32(256)
        if recipe["random_flip"]:
            mirrored = rng.random(len(x)) < 0.5
            x[mirrored] = x[mirrored][:, :, ::-1]
        if recipe["data_noise"]:
            x = x + np.float32(recipe["data_noise"]) * rng.standard_normal(x.shape, np.float32)
        yield x.astype(np.float32)


def train(executable: Executable, images: np.ndarray, seconds: float, out: Path) -> dict:
    """Train for so many seconds, and write the state in files of at most `MOST_BYTES`."""
    recipe = executable.manifest["recipe"]
    stream = batches(images, recipe, np.random.default_rng(recipe["seed"]))
    began = last = time.perf_counter()
    steps, results = 0, {}
    while time.perf_counter() - began < seconds and steps < recipe["steps"]:
        results = executable([next(stream)])
        steps += 1
        if steps % 10 == 0:
            # Or thousands of calls would wait on the device.
            executable.jax.block_until_ready(results["loss"])
        if time.perf_counter() - last > 10.0:
            last = time.perf_counter()
            gap, loss = float(results["energy_gap"]), float(results["loss"])
            print(f"step {steps}, {last - began:.0f} s: loss {loss:.4g}, gap {gap:.4g}", flush=True)
    executable.jax.block_until_ready(executable.state)
    taken = time.perf_counter() - began
    out.mkdir(parents=True, exist_ok=True)
    number, size, held = 0, 0, {}
    for i, (part, value) in enumerate(
        zip(executable.manifest["state"], executable.state, strict=True)
    ):
        # Of the buffer a few thousand images do.
        kept = np.asarray(value)
        if kept.dtype == np.uint8 and kept.nbytes > MOST_BYTES // 2:
            kept = kept[: MOST_BYTES // 2 // kept[0].nbytes]
        if size + kept.nbytes > MOST_BYTES:
            np.savez(out / f"state_{number}.npz", **held)
            number, size, held = number + 1, 0, {}
        held[f"{i} {part['name'].replace('/', '-')}"] = kept
        size += kept.nbytes
    np.savez(out / f"state_{number}.npz", **held)
    told = {name: float(np.asarray(value)) for name, value in results.items()}
    found = {"program": executable.manifest["name"], "steps": steps, "seconds": taken, **told}
    (out / "trained.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def main() -> int:
    """Check and time all programs of a folder, and train one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="names of programs, with commas between")
    parser.add_argument("--time", type=float, default=3.0, help="seconds of timing for each")
    parser.add_argument("--train", help="the program to train")
    parser.add_argument("--images", type=Path, help="an .npz of images, uint8")
    parser.add_argument("--seconds", type=float, default=240.0, help="of training")
    parser.add_argument("--out", type=Path, default=Path("gpu_run"))
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of the check, relative")
    arguments = parser.parse_args()
    import jax

    device = jax.devices()[0]
    versions = {"jax": jax.__version__, "numpy": np.__version__}
    report: dict = {"device": device.device_kind, "versions": versions, "programs": {}}
    names = sorted(p.parent.name for p in arguments.folder.glob("*/manifest.json"))
    if arguments.only:
        names = arguments.only.split(",")
    failed = False
    for name in names:
        began = time.perf_counter()
        executable = Executable(arguments.folder / name)
        row = {"compilation": time.perf_counter() - began, "difference": executable.check()}
        row |= executable.time(arguments.time)
        report["programs"][name] = row
        checked = "" if row["difference"] is None else f", differs by {row['difference']:.1e}"
        failed |= (row["difference"] or 0.0) > arguments.tolerance
        peer = row.get("seconds in PyTorch")
        ratio = "" if peer is None else f", PyTorch {1e3 * peer:.3f}"
        print(f"{name}: {1e3 * row['seconds']:.3f} ms a call{ratio}{checked}", flush=True)
    if arguments.train:
        with np.load(arguments.images, allow_pickle=False) as file:
            images = next(file[key] for key in file.files if file[key].ndim == 4)
        executable = Executable(arguments.folder / arguments.train)
        report["trained"] = train(executable, images, arguments.seconds, arguments.out)
        print(f"trained {report['trained']['steps']} steps", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1)
    (arguments.out / "report.json").write_text(text, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
