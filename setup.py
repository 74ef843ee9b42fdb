"""The wheel holds the waist, ad40/, and the released models; everything else about the build is in pyproject.toml.

In a checkout the released models are folders of models/, which also hold what only training needs. The wheel gets the
files that the emulator needs, as ad40/released/.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path(__file__).resolve().parent / "models"
FILES = ("network.json", "menu.yaml", "golden.npz")  # those of ad40.released, which cannot be imported here


class BuildPy(build_py):
    """Adds the released models to a wheel; an editable install finds them in models/."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        found = [MODELS / "released.yaml", *(path for name in FILES for path in sorted(MODELS.glob(f"*/{name}")))]
        for path in found:
            target = Path(self.build_lib) / "ad40" / "released" / path.relative_to(MODELS)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))


setup(cmdclass={"build_py": BuildPy})
