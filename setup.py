"""Keep what a build makes out of the source tree. All else about the package is in ``setup.cfg``.

By default setuptools builds in ``build/`` and ``*.egg-info/`` of the current folder, ships what it finds
there, and fails if they belong to another user. A file of settings can't name a new folder for each build.
"""

import atexit
import shutil
import tempfile

from setuptools import setup

made = tempfile.mkdtemp(prefix="mtmount-build-")
atexit.register(shutil.rmtree, made, ignore_errors=True)
setup(options={"build": {"build_base": made}, "egg_info": {"egg_base": made}})
