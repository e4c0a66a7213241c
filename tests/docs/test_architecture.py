"""The drawing of the architecture is that of the source."""

import runpy

import tf_febm


def test_every_package_is_drawn(project):
    script = project / "docs" / "developer" / "draw_architecture.py"
    figure = runpy.run_path(str(script))["drawn"]()
    drawn = {text.get_text().split("\n")[0] for text in figure.axes[0].texts}
    page = (script.parent / "architecture.md").read_text(encoding="utf-8")
    for name in tf_febm.__all__:
        if name.islower() and name != "export" and not name.startswith("_"):
            assert name in drawn, name
            assert f"`{name}`" in page, name


def test_the_drawing_is_of_this_source(project):
    script = project / "docs" / "developer" / "draw_architecture.py"
    listed = runpy.run_path(str(script))["listed"]()
    kept = (script.parent / "architecture.txt").read_text(encoding="utf-8")
    assert kept == listed, f"run python {script.relative_to(project)}"
