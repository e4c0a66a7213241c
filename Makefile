# The two commands: `make train` and `make test`. Both create .venv on first use and reuse it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-bench

.PHONY: train pretrained faces mnist test thorough quick pairwise study study-mixture study-methods study-methods-all study-plane \
	study-anomalies study-bounds study-claims study-classification \
	study-stacked study-quality bench gpu-check drills fuzz storm resume replicas workers long divergences lint types docs notebooks format \
	requirements clean

train: $(READY)
	$(BIN)/python launch/train.py --dataset=digits --logdir=runs --exp=digits $(ARGS)

# The model that comes with the library, out of the run of `make train`; its figures are measured anew.
pretrained: train
	$(BIN)/python -m studies.pretrained --run=runs/digits

# From images to a report, by energies of levels of noise, the best pictures for the time:
# make faces ARGS=--data_dir=FOLDER_OR_FILE. make mnist downloads what it needs. METHOD=febm for f-EBM.
METHOD := multiscale
faces mnist: $(READY)
	$(BIN)/python launch/train.py --method=$(METHOD) --dataset=$(DATASET_OF_$@) --logdir=runs --exp=$@ \
		$(LABELS_OF_$@) $(ARGS)
	$(BIN)/python launch/evaluate.py --run=runs/$@ $(EVALUATE_ARGS)

DATASET_OF_faces := celeba
DATASET_OF_mnist := mnist
LABELS_OF_mnist := --cclass

# Every divergence, 300 steps each; a run that meets a number that is not finite fails.
divergences: $(READY)
	@for name in kl reverse_kl js squared_hellinger pearson_chi2 neyman_chi2 \
			alpha:-1 alpha:-0.5 alpha:0.5 alpha:0.9; do \
		echo "== $$name"; \
		$(BIN)/python launch/train.py --divergence=$$name --steps=300 --exp=divergence_$$name \
			--overwrite $(ARGS) || exit 1; \
	done

study: study-mixture study-methods

# Section 6.1 of the paper: the table and Figures 1 to 4, in a few minutes; ARGS=--rule=paper by its rule.
study-mixture: $(READY)
	$(BIN)/python launch/mixture.py --divergence=all --out=runs/mixture $(ARGS)

# Contrastive divergence against f-EBM on the digits: fifteen runs, an hour and a half on two cores.
study-methods: $(READY)
	$(BIN)/python -m studies.methods $(ARGS)

# Every method on four densities that are known, in one table: some ten minutes of one core. Rows of TorchEBM and
# ebmkit by ARGS=--peers=PYTHON, one of an environment with both: pip install torch torchebm==0.8.9 ebmkit==0.16.0
study-methods-all: $(READY)
	$(BIN)/python -m studies.all_methods $(ARGS)

# Every method on points in the plane, whose density is known: 81 runs, some hours.
study-plane: $(READY)
	$(BIN)/python -m studies.plane $(ARGS)

# Anomaly scores of energies on two tables of scikit-learn, against an isolation forest and a Gaussian.
study-anomalies: $(READY)
	$(BIN)/python -m studies.anomalies $(ARGS)

# Upper and lower bound through training, by quadrature: docs/pictures/bounds.png.
study-bounds: $(READY)
	$(BIN)/python -m studies.bounds $(ARGS)

# The papers' claims, each as a measurement, in one table: hours; a reduced version by ARGS=--fast.
study-claims: $(READY)
	$(BIN)/python -m studies.claims $(ARGS)

# Energies as classifiers, beside a plain one of the same network: five minutes on one core;
# ARGS="--datasets=digits,mnist --data_dir=mnist.npz" for MNIST as well.
study-classification: $(READY)
	$(BIN)/python -m studies.classification $(ARGS)

# The modes of stacked MNIST after an hour of training: make study-stacked ARGS=--data_dir=mnist.npz
study-stacked: $(READY)
	$(BIN)/python -m studies.stacked_mnist $(ARGS)

# Time to a quality of faces, ours and TorchEBM's, in seconds of the processor: some hours;
# make study-quality ARGS="--data_dir=celeba10k_32.npz --squeezenet=weights.h5 --peers=PYTHON"
study-quality: $(READY)
	$(BIN)/python -m studies.time_to_quality $(ARGS)

# Timings side by side, in an environment of their own that has PyTorch and TorchEBM as well; they
# end up in benchmarks/RESULTS.md. One comparison: make bench ARGS=--only=b
bench: $(PEERS)/.ready
	$(PEERS)/bin/python benchmarks/run.py $(ARGS)

# Chains and training steps as StableHLO, run by JAX, which has an environment of its own, on the CPU:
# what benchmarks/gpu does on a machine with a GPU and without TensorFlow.
gpu-check: $(READY) .venv-jax/.ready
	JAX_PYTHON=.venv-jax/bin/python $(BIN)/python -m pytest -n 0 -rs tests/benchmarks/test_gpu.py

# Every drill, in half an hour: kills, lost workers, signals, damaged files, disks, clocks, memory.
# One of them: make drills ARGS=--only=clock. The table is that of docs/reliability.md.
drills: $(READY)
	$(BIN)/python drills/run_all.py $(ARGS)

# Twenty-five SIGKILLs over one run, which has to end as if there had been none.
storm: $(READY)
	$(BIN)/python drills/kill_storm.py --kills=25 $(ARGS)

# 200 steps in one go against 100, a SIGKILL and the rest, for every method: equal bit for bit.
resume: $(READY)
	$(BIN)/python drills/resume.py $(ARGS)

# One step on 1, 2 and 4 logical CPUs: every method with every network family.
replicas: $(READY)
	$(BIN)/python drills/replicas.py $(ARGS)

# Two and three processes that train together; one gets a SIGKILL, and all are started again.
workers: $(READY)
	for method in febm contrastive_divergence dual bidirectional; do \
		$(BIN)/python drills/workers.py --workers=2 --method=$$method $(ARGS) || exit 1; \
	done
	$(BIN)/python drills/workers.py --workers=3 --method=febm $(ARGS)

# Bad arguments to everything public: 20,000 calls in about ten minutes.
fuzz: $(READY)
	$(BIN)/python drills/fuzz.py $(ARGS)

# Two hours of the digits: memory, speed and traces.
long: $(READY)
	$(BIN)/python drills/long_run.py $(ARGS)

# Three workers, though two cores: while one waits for a process that it started, another computes.
test: $(READY) lint types
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not thorough" $(ARGS)

# Breadth beyond the suite: more seeds and combinations of what it shows on some.
thorough: $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m thorough $(ARGS)

# What one runs while working: within a minute and a half.
quick: $(READY) lint types
	$(BIN)/python -m pytest -n 2 tests/divergences tests/objectives tests/recipes tests/data \
		tests/test_*.py --ignore=tests/test_readme.py \
		--ignore=tests/test_pairwise.py --ignore=tests/test_parallel.py \
		--ignore=tests/test_serialisation.py --ignore=tests/test_package.py \
		-m "not slow and not thorough" $(ARGS)

# Every pair of features, not only those that the suite has.
pairwise: $(READY)
	PAIRWISE=all $(BIN)/python -m pytest -n 2 tests/test_pairwise.py tests/test_pairwise_made.py tests/test_pairwise_classes.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Annotations of the library and the examples, by mypy.
types: $(READY)
	$(BIN)/mypy

# The pages below docs/, into site/; a warning is an error. The theme advertises its successor.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The notebooks with what they show; some minutes.
notebooks: $(READY)
	$(BIN)/python docs/execute_notebooks.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One lock for every supported Python; the markers in it choose.
requirements:
	uv pip compile setup.py --extra dev --universal --python-version 3.10 --no-annotate \
		--no-header --upgrade -o requirements.txt

$(READY): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) \
		else "tf_febm needs Python 3.10 to 3.13; %s is %d.%d. Name another one: make PYTHON=python3.12" % (sys.executable, *v))'
	@echo "Installing into $(VENV): some minutes, in silence, and 3 GB of disk."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(PEERS)/.ready: requirements.txt setup.py benchmarks/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt \
		-r benchmarks/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@

.venv-jax/.ready: setup.py
	$(PYTHON) -m venv .venv-jax
	.venv-jax/bin/python -m pip install --quiet --disable-pip-version-check "jax>=0.10" "numpy>=2.0"
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) .venv-jax build dist *.egg-info
