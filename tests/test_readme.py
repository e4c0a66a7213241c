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

from tests.launch.conftest import _one_classifier_of_the_digits, launched  # noqa: F401
from tf_febm import data, evaluation
from tf_febm.applications import denoising
from tf_febm.recipes import choosing

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
FEW_STEPS = [
    "--steps=3", "--batch_size=4", "--num_steps=2", "--num_samples=10", "--final_steps=2",
]  # fmt: skip

PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
INLINE = re.findall(r"`([^`]+)`", PROSE)
# One serves what `launch/export.py` wrote; test_commands_on_a_run runs it.
(SERVED,) = (code for code in blocks("python") if "saved_model.load" in code)
# Fenced and inline, in their order.
SNIPPETS = [
    fenced or inline
    for fenced, inline in re.findall(
        r"```python\n(.*?)```|(?<!`)`(tf_febm\.[^`\n]*\))`", README, flags=re.DOTALL
    )
    if fenced != SERVED
]
COMMANDS += [line for line in INLINE if re.match(r"(python launch/|make |tf-febm )", line)]
COMMANDS = list(dict.fromkeys(COMMANDS))


def test_links_lead_somewhere():
    targets = re.findall(r"\[.*?\]\((.*?)\)", PROSE, flags=re.DOTALL)
    assert len(targets) > 10
    for target in targets:
        assert target.startswith("http") or (PROJECT / target).is_file(), target


def run_snippet(code, names):
    """Run one in a session, and put in what it supposes the reader to have."""
    if code.startswith("tf_febm.FEBM("):
        model = names["model"]
        names |= {"energy": model.energy_network, "variational": model.variational_network}
        names |= {"sampler": model.sampler, "buffer": model.buffer}
    exec(code, names)


def test_what_stands_in_lines_is_run_too():
    """Whatever looks like a command or a call is one that a test of this file runs."""
    calls = [text for text in INLINE if "(" in text and not re.fullmatch(r"q\(x\).*", text)]
    assert len(calls) == 3 and set(calls) <= set(SNIPPETS)
    lines = [text for text in INLINE if " " in text and text not in calls]
    assert set(lines) - set(COMMANDS) == {'pip install ".[run]"', ". .venv/bin/activate"}
    assert '"run": ' in (PROJECT / "setup.py").read_text()
    for line in COMMANDS:
        program, word, *_ = shlex.split(line)
        assert program in ("python", "make") or (program, word) == ("tf-febm", "train")


def test_python_snippets(tmp_path, monkeypatch, capsys):
    """One after the other, as a reader does in one session, with three training steps each."""
    monkeypatch.chdir(tmp_path)
    for name in ("digits_quick", "plane_noise_contrastive", "noise_contrastive"):
        short = choosing.RECIPES[name].changed(
            {"steps": 3, "final_steps": 2, "buffer_capacity": 128}
        )
        monkeypatch.setitem(choosing.RECIPES, name, short)
    names = {}
    for code in SNIPPETS:
        run_snippet(code, names)
    assert Path("runs/mine/report.html").is_file()
    assert names["digits"].shape == (100, 8, 8, 1) and Path("digits.keras").is_file()
    # 10×10 digits, enlarged; three panels.
    assert Image.open("digits.png").size == (331, 331) and Image.open("moons.png").width == 1500
    # The ten lowest scores of the table, from the oddest on.
    rows = re.findall(r"^(\d+) (-?[\d.]+) (benign|malignant)$", capsys.readouterr().out, re.M)
    order = sorted(range(569), key=lambda k: names["scores"][k])[:10]
    assert [int(row) for row, *_ in rows] == order


@pytest.mark.slow
@pytest.mark.thorough
def test_the_pictures_of_the_snippets(tmp_path, monkeypatch):
    """With all steps: digits far ahead of a Gaussian fit, and the density of moons."""
    monkeypatch.chdir(tmp_path)
    names = {}
    # The fenced ones: those in lines make no picture.
    for code in (block for block in blocks("python") if block != SERVED):
        exec(code, names)
        if "digits" in names and "found" not in names:
            splits = [data.load("digits", split=split) for split in ("train", "test")]
            names["found"] = evaluation.run_figures(names["model"], names["digits"], *splits)
    # 100 samples are a noisy Fréchet distance; a Gaussian fit has 33.
    assert names["found"]["frechet_ratio"] < 12.0
    moons, points = data.toy_datasets.get("moons"), data.load("moons", split="test").vectors
    quality = evaluation.plane_quality(names["model"].energy, names["samples"], moons, points)
    assert quality.kl < 0.01
    # All but some that did not come from the edge in time.
    assert (moons.log_prob(names["samples"]) > -6.0).mean() > 0.95


@pytest.mark.usefixtures("blank_charts")
@pytest.mark.parametrize("line", [line for line in COMMANDS if "launch/train.py" in line])
def test_launcher_commands(line, tmp_path):
    """As they stand, with a few small steps and a logdir of the test's own."""
    words = shlex.split(line)[2:]
    if "--data_dir=path/to/celeba" in words:
        folder = PROJECT.parent / "shared" / "data" / "img_align_celeba"
        if not folder.is_dir():
            pytest.skip("no folder of CelebA images beside this checkout")
        words[words.index("--data_dir=path/to/celeba")] = f"--data_dir={folder}"
    assert launched("train", *words, f"--logdir={tmp_path}", *FEW_STEPS) == 0


def run_make(*words):
    """Run make with the environment of this process in the place of the one that it sets up."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    return subprocess.run(
        ["make", *words, "READY=", f"BIN={Path(sys.executable).parent}"],
        cwd=PROJECT, capture_output=True, text=True, timeout=300,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
    )  # fmt: skip


def test_make_train_with_options():
    """As it stands, without the training; test_commands_on_a_run does that in this process."""
    (line,) = (line for line in COMMANDS if line.startswith("make train ARGS="))
    result = run_make(
        *[f"{word} --dry_run" if "=" in word else word for word in shlex.split(line)[1:]]
    )
    assert result.returncode == 0, result.stderr
    assert "runs/digits_1" in result.stdout and "seed=1" in result.stdout


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.fullmatch(r"make [\w-]+", line)])
def test_make_has_a_rule(line):
    """It says 1 of what is to be done, and 2 of what nobody has told it how to do."""
    assert run_make("--question", line.split()[1]).returncode == 1


@pytest.mark.usefixtures("blank_charts")
def test_commands_on_a_run(tmp_path, monkeypatch, capsys):
    """Those that need no file of the reader's, on a run of what `make train` trains."""
    monkeypatch.chdir(tmp_path)
    assert launched("train", "--dataset=digits", "--exp=digits", *FEW_STEPS) == 0
    assert (tmp_path / "runs" / "digits" / "samples" / "final.png").exists()
    # Images that choose the weight of the energy, a matter of seconds.
    monkeypatch.setattr(denoising, "_CALIBRATION", 8)
    for name in ("evaluate", "apply", "export"):
        line = f"python launch/{name}.py --run=runs/digits"
        assert line in COMMANDS
        assert launched(name, *shlex.split(line)[2:]) == 0
    Image.new("RGB", (20, 16), "teal").save("picture.png")
    capsys.readouterr()
    # Five lines: import, load, read, cut, print.
    assert len([line for line in SERVED.splitlines() if line.strip()]) == 5
    exec(SERVED, {})
    assert re.fullmatch(r"\[-?\d.*\]", capsys.readouterr().out.strip())
    for name in ("evaluation/evaluation.json", "applications/applications.json"):
        assert (tmp_path / "runs" / "digits" / name).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.thorough
def test_make_train(tmp_path):
    """All of it in one go; the tests above show each part."""
    result = run_make("train", f"ARGS={' '.join([f'--logdir={tmp_path}', *FEW_STEPS])}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "digits" / "samples" / "final.png").exists()
