"""Packaging of tf_febm; exact versions for development stand in requirements.txt."""

from pathlib import Path

from setuptools import find_packages, setup

# Image files, charts and curves: what runs in folders and the command line need, and importing and
# fitting do not.
RUN = ["matplotlib>=3.9", "pillow>=10.3", "tensorboard>=2.18"]
NOTEBOOKS = ["ipykernel>=6.29", "nbclient>=0.10", "nbformat>=5.10"]
DOCS = [
    "mkdocs>=1.6",
    "mkdocs-jupyter>=0.25",
    "mkdocs-material>=9.6",
    "mkdocstrings[python]>=0.28",
    # Formats signatures on the pages.
    "ruff>=0.9",
    *NOTEBOOKS,
]

setup(
    name="tf_febm",
    version="0.2.0",
    description="Deep energy-based models by f-divergence minimisation, in TensorFlow and Keras.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="energy-based models, f-divergence, contrastive divergence, Langevin dynamics, Keras",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=[*find_packages(include=["tf_febm", "tf_febm.*"]), "tf_febm_launch"],
    # The folder has a short name in the repository, and one of its own among installed packages.
    package_dir={"tf_febm_launch": "launch"},
    entry_points={"console_scripts": ["tf-febm = tf_febm_launch.command:main"]},
    package_data={"tf_febm": ["py.typed"], "tf_febm.pretrained": ["*.json", "*.npz"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow>=2.18",
        # The first whose fit takes the data of several workers, `DistributedDatasetsFromFunction`.
        "keras>=3.9",
        # The extra brings tf-keras, without which importing tensorflow_probability fails.
        "tensorflow-probability[tf]>=0.25",
        "tensorflow-datasets>=4.9.7",
        # tensorflow-datasets imports it for celeb_a and does not declare it.
        "importlib_resources>=6",
        "absl-py>=2.1",
        "numpy>=2.0",
        # Factors of references, digits, neighbours, AUROC; the first with `validate_data`.
        "scikit-learn>=1.6",
        # Cosine transforms, special functions, optimisation of the exact answers.
        "scipy>=1.13",
        # Comes with scikit-learn; one thread is the fastest for small factorisations.
        "threadpoolctl>=3.1",
    ],
    extras_require={
        "run": RUN,
        # CUDA libraries from the package index, for Linux.
        "gpu": ["tensorflow[and-cuda]>=2.18"],
        # tf_febm.export(model, path, "onnx"), and what runs the file.
        "onnx": ["tf2onnx>=1.17", "onnx>=1.17", "onnxruntime>=1.20"],
        # Runs benchmarks/gpu/run.py, whose programs are of no TensorFlow.
        "gpu-check": ["jax>=0.10"],
        "docs": DOCS,
        "dev": [
            *RUN,
            "hypothesis>=6.100",
            "mypy>=1.15",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            *NOTEBOOKS,
        ],
    },
)
