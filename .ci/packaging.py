"""Build wheel and sdist; try each, and an editable install, in a fresh venv from another folder.

All is built from a copy of the source tree, and nothing may be left there: a later build would ship it, and
another user could not write to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from source_tree import copy_sources

ROOT = Path(__file__).resolve().parent.parent

INSTALLED = """
import base64, hashlib, importlib.metadata as metadata, importlib.resources as resources
import mtmount_twisted
assert resources.files("mtmount_twisted").joinpath("py.typed").is_file(), "py.typed is not shipped"
page = resources.files("mtmount_twisted").joinpath("frontends", "web", "static", "index.html")
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
    *("../man/man1/mtmount-bridge.1", "../bash-completion/completions/mtmount-journal"),
    *("../zsh/site-functions/_mtmount-commander", "../fish/vendor_completions.d/mtmount-telemetry.fish"),
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


def files(folder: Path) -> set[Path]:
    """All files and folders below a folder."""
    return set(folder.rglob("*"))


def require_clean(tree: Path, before: set[Path], after: str) -> None:
    """End if there is more in the source tree than before."""
    left = sorted(str(path.relative_to(tree)) for path in files(tree) - before)
    if left:
        sys.exit(f"packaging: {after} left in the source tree: {', '.join(left)}")


def require_complete(sdist: Path, tree: Path) -> None:
    """End if the sdist lacks a file of the source tree: others build their packages from the sdist."""
    with tarfile.open(sdist) as archive:
        shipped = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    ours = {path.relative_to(tree) for path in files(tree) if path.is_file()}
    lacking = sorted(str(path) for path in ours - shipped if path.name != ".gitignore")
    if lacking:
        sys.exit(f"packaging: MANIFEST.in lacks {', '.join(lacking)}")


def require_versioned() -> None:
    """End if the sdist and git have other files than each other: git's own list is the measure."""
    run(sys.executable, "-m", "check_manifest", "--no-build-isolation", cwd=ROOT)


def judge(wheel: Path, sdist: Path, folder: Path) -> None:
    """End if PyPI would refuse the metadata or not render the README, or if pyroma's rating is below 10."""
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, cwd=folder)
    run(sys.executable, "-m", "pyroma", "-n", "10", sdist, cwd=folder)


def try_install(name: str, arguments: list[str | Path], folder: Path, tree: Path) -> None:
    """Install into a fresh venv, then use what was installed from a folder that holds nothing."""
    print(f"-- {name}", flush=True)
    venv.create(folder / name)
    programs = folder / name / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python")
    elsewhere = folder / f"elsewhere-{name}"
    elsewhere.mkdir()
    before = files(tree)
    run(*pip, "install", "-q", *arguments, cwd=elsewhere)
    require_clean(tree, before, f"the install {name!r}")
    run(*pip, "check", cwd=elsewhere)
    for shared in SHARED if name != "editable" else ():
        if not (folder / name / "share" / "mtmount_twisted" / shared).is_file():
            sys.exit(f"packaging: share/mtmount_twisted/{shared} is not shipped")
    print(run(programs / "python", "-c", INSTALLED, cwd=elsewhere), end="")
    for cwd in (elsewhere, tree):
        require(run(programs / "twistd", "--help", cwd=cwd), "mtmount-bridge", "mtmount-simulator")
    reference = ROOT / "docs" / "bridge.toml"
    words = ("mtmount-bridge", "--config", reference, "--check-config")
    require(run(programs / "twistd", *words, cwd=elsewhere), "the configuration is right")
    require(run(programs / "mtmount-bridge", *words[1:], cwd=elsewhere), "the configuration is right")
    if name == "wheel":  # the programs of the others are the same files
        try_programs(programs, elsewhere)


def try_programs(programs: Path, elsewhere: Path) -> None:
    """Start each program from a folder that holds nothing."""
    require(run(programs / "twistd", "mtmount-bridge", "--help", cwd=elsewhere), "--controller")
    require(run(programs / "twistd", "mtmount-simulator", "--help", cwd=elsewhere), "Options:")
    require(run(programs / "mtmount-simulator", "--help", cwd=elsewhere), "Usage: mtmount-simulator")
    require(run(programs / "mtmount-commander", "--help", cwd=elsewhere), "mtmount-commander")
    require(run(programs / "mtmount-journal", "--help", cwd=elsewhere), "mtmount-journal")
    require(run(programs / "python", "-m", "mtmount_twisted.commander", "--help", cwd=elsewhere), "usage")


def try_as_another_user(folder: Path, tree: Path) -> None:
    """Install from a tree that others own, and use what they have installed: as root leaves it for a user."""
    print("-- as another user, who may write nothing in the source tree", flush=True)
    powerless = ("setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search,-fowner")
    user = powerless if os.geteuid() == 0 else ()
    programs, theirs = folder / "editable" / "bin", folder / "theirs"
    venv.create(theirs)
    modes = {path: path.stat().st_mode for path in (tree, *files(tree))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    pip = (*user, sys.executable, "-m", "pip", "--python", theirs / "bin" / "python", "install", "-q")
    run(*pip, "--no-deps", tree, cwd=folder)
    run(*pip, "--no-deps", "-e", tree, cwd=folder)
    printed = run(*user, programs / "twistd", "--help", cwd=theirs)
    require(printed, "mtmount-bridge")
    for path, mode in modes.items():
        path.chmod(mode)


def try_deleted_module(folder: Path, tree: Path) -> None:
    """What was installed from the tree before, and is deleted there, is in no later wheel."""
    print("-- a deleted module", flush=True)
    deleted = "mtmount_twisted/cli/commander/script.py"
    (tree / deleted).unlink()
    wheels = folder / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, tree, cwd=folder)
    (wheel,) = wheels.glob("*.whl")
    if deleted in zipfile.ZipFile(wheel).namelist():
        sys.exit(f"packaging: {deleted} is deleted, and is in the next wheel")


def main() -> None:
    """Build, then try all three."""
    with tempfile.TemporaryDirectory(prefix="mtmount-packaging-") as temporary:
        folder = Path(temporary)
        tree = copy_sources(folder / "tree")
        before = files(tree)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", tree, cwd=folder)
        require_clean(tree, before, "python -m build")
        (wheel,) = (folder / "dist").glob("*.whl")
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        require_complete(sdist, tree)
        require_versioned()
        judge(wheel, sdist, folder)
        try_install("wheel", [wheel], folder, tree)
        try_install("sdist", [sdist], folder, tree)
        try_install("editable", ["-e", tree], folder, tree)
        try_as_another_user(folder, tree)
        try_deleted_module(folder, tree)


if __name__ == "__main__":
    main()
