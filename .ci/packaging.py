"""Build wheel and sdist; try each, and an editable install, in a fresh venv from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

INSTALLED = """
import base64, hashlib, importlib.metadata as metadata, importlib.resources as resources
import mtmount_twisted
assert resources.files("mtmount_twisted").joinpath("py.typed").is_file(), "py.typed is not shipped"
page = resources.files("mtmount_twisted").joinpath("web", "static", "index.html")
assert page.is_file(), "the page is not shipped"
for file in metadata.files("mtmount_twisted"):
    assert not (file.parts[0] == "twisted" and file.name == "__init__.py"), f"we ship {file}"
for file in metadata.files("Twisted"):
    if file.name == "__init__.py" and str(file.parent) in ("twisted", "twisted/plugins"):
        digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, file.read_binary()).digest())
        assert digest.rstrip(b"=").decode() == file.hash.value, f"{file} was changed"
print("mtmount_twisted", metadata.version("mtmount_twisted"), "from", mtmount_twisted.__file__)
"""

SHARED = (
    *("mtmount-bridge.service", "operations.rst"),
    *("prometheus/rules.yml", "prometheus/dashboard.json"),
)
"""The files below ``share/mtmount_twisted`` of an environment, unless the install is editable."""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command, show it, and return what it printed; end with its output if it fails."""
    words = [str(word) for word in command]
    print("+", " ".join(word if "\n" not in word else "'...'" for word in words), flush=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\npackaging: exit status {done.returncode} of: {' '.join(words)}")
    return done.stdout


def require(text: str, *words: str) -> None:
    """End with `text` if one of `words` is not in it: `twistd` exits with 0 even if a plugin is broken."""
    for word in words:
        if word not in text:
            sys.exit(f"{text}\npackaging: {word!r} is not in the text above")
    if "Traceback" in text:
        sys.exit(f"{text}\npackaging: a traceback")


def try_install(name: str, arguments: list[str | Path], folder: Path) -> None:
    """Install into a fresh venv, then use what was installed from a folder that holds nothing."""
    print(f"-- {name}", flush=True)
    venv.create(folder / name, with_pip=True)
    programs = folder / name / "bin"
    elsewhere = folder / f"elsewhere-{name}"
    elsewhere.mkdir()
    run(programs / "python", "-m", "pip", "install", "-q", *arguments, cwd=elsewhere)
    run(programs / "python", "-m", "pip", "check", cwd=elsewhere)
    for shared in SHARED if name != "editable" else ():
        if not (folder / name / "share" / "mtmount_twisted" / shared).is_file():
            sys.exit(f"packaging: share/mtmount_twisted/{shared} is not shipped")
    print(run(programs / "python", "-c", INSTALLED, cwd=elsewhere), end="")
    for cwd in (elsewhere, ROOT):
        require(run(programs / "twistd", "--help", cwd=cwd), "mtmount-bridge", "mtmount-simulator")
    require(run(programs / "twistd", "mtmount-bridge", "--help", cwd=elsewhere), "--controller")
    reference = ROOT / "docs" / "bridge.toml"
    words = ("mtmount-bridge", "--config", reference, "--check-config")
    require(run(programs / "twistd", *words, cwd=elsewhere), "the configuration is right")
    require(run(programs / "twistd", "mtmount-simulator", "--help", cwd=elsewhere), "Options:")
    require(run(programs / "mtmount-commander", "--help", cwd=elsewhere), "mtmount-commander")
    require(run(programs / "mtmount-journal", "--help", cwd=elsewhere), "mtmount-journal")
    require(run(programs / "python", "-m", "mtmount_twisted.commander", "--help", cwd=elsewhere), "usage")


def main() -> None:
    """Build, then try all three."""
    with tempfile.TemporaryDirectory(prefix="mtmount-packaging-") as temporary:
        folder = Path(temporary)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        try_install("wheel", [wheel], folder)
        try_install("sdist", [sdist], folder)
        try_install("editable", ["-e", ROOT], folder)


if __name__ == "__main__":
    main()
