"""The report of a run: what it says, that it stands alone, and how a browser shows it."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import tf_febm
from tf_febm import data, training
from tf_febm.training import finishing, pictures, report_page
from tf_febm.untrusted_files import write_record

# Of samples that are noise.
QUALITY = {
    "roughness": 0.17,
    "held_out_roughness": 0.01,
    "noise_roughness": 0.1666,
    "spread": 0.08,
    "held_out_spread": 0.07,
    "note": "few",
    "coarse_sample_distance": 2.0,
    "held_out_coarse_sample_distance": 0.1,
    "noise_coarse_sample_distance": 2.1,
}
IMAGES = {"Samples of the model", "Data the model has not seen", "Chains on their way from noise"}
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What is in a page; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.text, self._open = [], [], [], []
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small run of two parts, with options that need escaping."""
    import keras

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1), np.uint8)
    toy = data.ImageData("toy", images, None, None, "made up")
    networks = [tf_febm.networks.mlp((4, 4, 1), (4,), name=n) for n in ("energy", "other")]
    model = tf_febm.FEBM(
        *networks,
        sampler=tf_febm.samplers.Langevin(num_steps=2),
        buffer=tf_febm.ReplayBuffer(50),
        seed=1,
    )
    model.compile()
    folder = training.RunFolder(tmp_path_factory.mktemp("runs") / "a <b> & c")
    settings = {
        "method": "febm",
        "divergence": "js",
        "batch_size": 8,
        "steps": 16,
        "exp": "<script>alert(1)</script>",
        "data_dir": "x" * 300,
        "empty": None,
    }
    folder.prepare({})
    versions = {"tf_febm": "0.1.0"}
    folder.write_options({"recipe": settings, "data": {"name": "toy"}, "versions": versions})
    pictures.write_data_picture(folder, model, data.dequantise(images[:4], seed=0))
    training.train(
        model, lambda step: data.stream(toy, 8, start_step=step), folder,
        training.Checkpoints(folder.checkpoints, model), total_steps=16, log_interval=2,
        sample_interval=2, save_interval=8,
        watched=(data.dequantise(images[:4], seed=0), None),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # As after a minute of training.
        patch.setattr(finishing, "WORTH_MEASURING", 0.0)
        training.finish(
            model, folder, num_samples=4, num_steps=3, seed=1,
            measure=lambda samples: QUALITY,
        )  # fmt: skip
    training.write_report(folder)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder.path / "report.html").read_text(encoding="utf-8")


def test_the_first_screen(text):
    """In words: what was trained on what, for how long, when, and how good it is."""
    page = Page(text)
    first = " ".join(text for text in page.text[: page.text.index("Use the model")])
    assert re.search(
        r"An f-EBM \(divergence js\) of toy, trained for 16 steps of 8 examples", first
    )
    assert re.search(r"Finished \d+ \w+ \d{4}, \d\d:\d\d UTC", first)
    assert "Not good. The samples are noise" in first and "17.0 times" in first
    # Noise does not look finished, not even in the title of the window.
    assert re.search(r"<title>.*\(poor\)</title>", text)
    # Every figure beside that of real data and of the simplest model.
    row = page.text.index(next(t for t in page.text if t.startswith("Roughness: ")))
    assert [t for t in page.text[row + 1 :] if t.strip()][:3] == ["0.17", "0.01", "0.167"]
    images = [alt["alt"] for tag, alt in page.tags if tag == "img"]
    assert images[:2] == ["Samples of the model", "Data the model has not seen"]


def test_what_it_says(text, folder):
    page = Page(text)
    words = " ".join(page.text)
    for section in (
        "Use the model", "Samples over time", "Chains from noise",
        "Energies of data and of samples", "Curves", "Chains", "All figures", "Speed",
        "Recipe", "Data", "Versions",
    ):  # fmt: skip
        assert re.search(rf"<details>\n<summary>{section}</summary>", text), section
    assert "held_out_roughness" in words and "note" in words
    # Of chains, in words.
    chains = folder.read_summary()["chains"]
    assert (chains["num_chains"], chains["num_steps"], chains["acceptance"]) == (64, 8, None)
    assert "64 chains of 8 steps, from noise." in words
    row = page.text.index(next(t for t in page.text if t.startswith("rhat: R̂ between")))
    assert page.text[row + 1] == f"{chains['rhat']:.4g}"
    assert not any(t.startswith("acceptance: ") for t in page.text)
    assert "<script>alert(1)</script>" in page.text, "options are shown as they are"
    assert f"load_model({str(folder.model)!r})" in words
    captions = [alt["alt"] for tag, alt in page.tags if tag == "img"]
    # Six of the eight grids and of the eight histograms, the first and the last among them.
    steps = [c for c in captions if c.startswith("Step ")]
    assert len(steps) == 12 and steps[0] == steps[6] == "Step 2" and steps[5] == "Step 16"
    charts = {"Energies", "bound", "steps_per_second"}
    assert {"Chains on their way from noise", *charts} <= set(captions)


def test_pictures_are_sharp(text):
    """Charts are drawings; only images that are enlarged keep their pixels as squares."""
    for tag, image in Page(text).tags:
        if tag == "img":
            alt = image["alt"]
            drawn = image["src"].startswith("data:image/svg+xml")
            assert drawn == (alt not in IMAGES and not alt.startswith("Step ")), alt
            pixels = base64.b64decode(image["src"].partition(",")[2])
            small = not drawn and Image.open(io.BytesIO(pixels)).width < 400
            assert (image.get("class") == "pixels") == small, alt


def test_it_stands_alone(text):
    page = Page(text)
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:"), attributes
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    # Every colour of a bright screen has one for a dark one.
    bright, dark = (set(re.findall(r"(--\w+): #", rule)) for rule in style.split("@media")[:2])
    assert bright == dark == set(re.findall(r"var\((--\w+)\)", style)) and len(bright) == 4


def test_the_code_that_loads_the_model_runs(text, tmp_path, monkeypatch):
    code = html.unescape(re.search(r"<pre>(.*?)</pre>", text, flags=re.DOTALL).group(1))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["energies"].shape == (16,) and (tmp_path / "saved_model").is_dir()


def test_of_a_run_with_a_generator(tmp_path, monkeypatch):
    """Its samples come from no buffer, and its bounds share a chart."""
    energy = tf_febm.networks.mlp(2, (3,), name="energy")
    generator = tf_febm.networks.generator_mlp(2, 2, (3,))
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.01, 2)
    model = tf_febm.BidirectionalEBM(energy, generator, 2, sampler=sampler, seed=1)
    model.compile(run_eagerly=True)
    folder = training.RunFolder(tmp_path / "run")
    recipe = {"method": "bidirectional", "chains": "replay"}
    folder.prepare({})
    folder.write_options({"recipe": recipe, "data": {}, "versions": {}})
    table = training.MetricsTable(folder.metrics)
    x = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    model.fit(x, batch_size=8, epochs=2, verbose=0, callbacks=[table])
    model.save(folder.model)
    text = training.write_report(folder).read_text(encoding="utf-8")
    captions = [alt["alt"] for tag, alt in Page(text).tags if tag == "img"]
    assert "Bounds of the negative log-likelihood" in captions
    assert "An energy-based model between bidirectional bounds" in text
    assert not {"lower_bound", "Log ratio"} & set(captions)
    code = html.unescape(re.search(r"<pre>(.*?)</pre>", text, flags=re.DOTALL).group(1))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["samples"].shape == (16, 2) and names["energies"].shape == (16,)


def test_of_a_run_that_has_only_begun(folder, tmp_path):
    begun = training.RunFolder(tmp_path / "begun")
    begun.prepare({})
    begun.write_options({"recipe": {"steps": 1}, "data": {}, "versions": {}})
    (begun.samples / "step_0000001.png").write_bytes(b"damaged")
    page = Page(training.write_report(begun).read_text(encoding="utf-8"))
    words = " ".join(page.text)
    assert "Not finished: 0 of 1 steps." in words and "(not finished)" in words
    assert not [tag for tag, _ in page.tags if tag == "img"]
    with pytest.raises(FileNotFoundError, match="holds no run"):
        training.write_report(training.RunFolder(tmp_path / "nothing"))


def test_of_a_run_that_diverged_or_went_on(folder, tmp_path):
    copy = training.RunFolder(shutil.copytree(folder.path, tmp_path / "copy"))
    copy.diagnosis.write_text(json.dumps({"text": "loss is 1e9", "found_at_step": 20}))
    words = training.write_report(copy).read_text(encoding="utf-8")
    assert "Training diverged, and this run is not finished: at step 20 loss is 1e9." in words
    copy.diagnosis.unlink()
    summary = json.loads(copy.summary.read_text()) | {"steps": 8}
    write_record(copy.summary, summary)
    words = training.write_report(copy).read_text(encoding="utf-8")
    assert "training has gone on to step 16, samples and figures are those of step 8" in words


MEASURE = """
const found = [];
for (const frame of document.querySelectorAll('iframe')) {
  frame.contentDocument.querySelectorAll('details').forEach(folded => { folded.open = true; });
  const page = frame.contentDocument, root = page.documentElement;
  const sizeOf = element => parseFloat(frame.contentWindow.getComputedStyle(element).fontSize);
  const widthOf = image => image.getBoundingClientRect().width;
  const lines = element => {
    const all = page.createRange();
    all.selectNodeContents(element);
    return new Set([...all.getClientRects()].map(place => place.top)).size;
  };
  const names = [...page.querySelectorAll('tbody th')].filter(i => !/\\s/.test(i.textContent));
  found.push({
    names: names.length,
    broken: names.filter(name => lines(name) > 1).map(name => name.textContent),
    width: frame.contentWindow.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    images: [...page.images].map(i => [i.complete, i.naturalWidth, widthOf(i)]),
    font: Math.min(...[...page.querySelectorAll('td, th, pre, figcaption, h1, h2')].map(sizeOf)),
  });
}
document.body.innerHTML = '<pre id="found">' + JSON.stringify(found) + '</pre>';
"""


@pytest.mark.slow
def test_in_a_browser(text, tmp_path):
    """As wide as a telephone and as a desk: nothing overflows, every picture is decoded."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    # Long values leave their names whole.
    text = text.replace("</body>", report_page.table([("a_setting_of_that_name", "word " * 60)]))
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(text)}">'
        "</iframe>"
        for width in (400, 1600)
    )
    page = tmp_path / "page.html"
    page.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><body>{frames}<script>"
        f"window.addEventListener('load', () => {{{MEASURE}}})</script>",
        encoding="utf-8",
    )
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=20000", "--window-size=1700,1000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "CONSOLE" not in result.stderr, result.stderr
    found = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, flags=re.DOTALL)
    assert found, result.stdout[-500:]
    narrow, wide = json.loads(html.unescape(found.group(1)))
    expected = text.count("<img")
    assert (narrow["width"], wide["width"]) == (400, 1600) and expected > 12
    for view in (narrow, wide):
        assert view["overflow"] == 0 and view["font"] >= 12
        assert view["names"] > 20 and not view["broken"]
        assert len(view["images"]) == expected
        for complete, natural, shown in view["images"]:
            assert complete and natural > 0
            # Not a thumbnail, and not cut off.
            assert 250 <= shown <= view["width"]
