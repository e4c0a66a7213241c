"""Every snippet and every command of the README, run as a reader would run it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
FEW_STEPS = [
    "--steps=3", "--batch_size=4", "--num_steps=2", "--num_samples=10", "--final_steps=2",
]  # fmt: skip


# One serves what `launch/export.py` wrote; test_commands_on_a_run runs it.
(SERVED,) = (code for code in blocks("python") if "saved_model.load" in code)
SNIPPETS = [code for code in blocks("python") if code != SERVED]


def test_it_is_short_and_so_is_the_first_model():
    assert len(README.splitlines()) < 330
    (first,) = (code for code in SNIPPETS if 'load("digits").images  # uint8' in code)
    assert len([line for line in first.splitlines() if line.strip()]) <= 20
    # Import, load, read, cut, print.
    assert len([line for line in SERVED.splitlines() if line.strip()]) == 5


def test_links_lead_somewhere():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    targets = re.findall(r"(?<!!)\[.*?\]\((.*?)\)", prose, flags=re.DOTALL)
    assert len(targets) > 10
    for target in targets:
        assert target.startswith("http") or (PROJECT / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize("code", SNIPPETS, ids=lambda code: code.strip().split("\n")[-1][:30])
def test_python_snippets(code, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if "launch/mixture.py" in line])
def test_mixture_commands(line, tmp_path):
    words = shlex.split(line)
    words[:2] = [sys.executable, str(PROJECT / words[1])]
    few = ["--steps=100", "--trajectories=1", "--trajectory_steps=100"]
    few += ["--num_samples=1000", f"--out={tmp_path}"]
    result = subprocess.run([*words, *few], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "figure_4_trajectories.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if "launch/train.py" in line])
def test_launcher_commands(line, tmp_path):
    """As they stand, with a few small steps and a logdir of the test's own."""
    words = shlex.split(line)
    words[:2] = [sys.executable, str(PROJECT / words[1])]
    if "--data_dir=path/to/celeba" in words:
        folder = PROJECT.parent / "shared" / "data" / "img_align_celeba"
        if not folder.is_dir():
            pytest.skip("no folder of CelebA images beside this checkout")
        words[words.index("--data_dir=path/to/celeba")] = f"--data_dir={folder}"
    result = subprocess.run(
        [*words, f"--logdir={tmp_path}", *FEW_STEPS], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_commands_on_a_run(tmp_path):
    """Those that need no file of the reader's, on a run of the test's own."""
    on_a_run = [
        "python launch/evaluate.py --run=runs/digits",
        "python launch/apply.py --run=runs/digits",
        "python launch/export.py --run=runs/digits",
        "python examples/score_images.py runs/digits/saved_model path/to/pictures",
    ]
    assert set(on_a_run) <= set(COMMANDS)
    pictures = tmp_path / "path" / "to" / "pictures"
    pictures.mkdir(parents=True)
    for path in (tmp_path / "picture.png", pictures / "one.png"):
        Image.new("RGB", (20, 16), "teal").save(path)
    run = tmp_path / "runs" / "digits"
    train = ["python", "launch/train.py", "--logdir=runs", "--exp=digits", *FEW_STEPS]
    for words in (train, *map(shlex.split, on_a_run)):
        command = [sys.executable, str(PROJECT / words[1]), *words[2:]]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[1].startswith("one.png,")
    result = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"\[-?\d.*\]", result.stdout.strip())
    assert (run / "evaluation" / "evaluation.json").stat().st_size > 0
    assert (run / "applications" / "applications.json").stat().st_size > 0
    assert (run / "saved_model" / "saved_model.pb").stat().st_size > 0


@pytest.mark.slow
def test_make_train(tmp_path):
    if shutil.which("make") is None or not (PROJECT / ".venv" / ".ready").exists():
        pytest.skip("make, or the environment that it sets up, is not here")
    assert "make train" in COMMANDS
    arguments = " ".join([f"--logdir={tmp_path}", *FEW_STEPS])
    result = subprocess.run(
        ["make", "train", f"ARGS={arguments}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "digits" / "samples" / "final.png").exists()


def test_make_test_runs_lint_and_the_suite():
    """What `make test` does, without doing it again inside itself."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    assert "make test" in COMMANDS
    plan = subprocess.run(
        ["make", "--dry-run", "test"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert "ruff check" in plan and "ruff format --check" in plan and "-m pytest" in plan


def test_pictures_of_the_readme_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (PROJECT / picture).is_file(), picture


def test_make_study_runs_both_studies():
    """They take minutes and an hour; tests/launch runs short ones."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    assert "make study-mixture" in COMMANDS
    plan = subprocess.run(
        ["make", "--dry-run", "study"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert "launch/mixture.py --divergence=all" in plan
    assert "launch/method_study.py" in plan
