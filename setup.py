"""Package metadata from settings.ini, the single source."""

import shlex
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
readme = here / "README.md"

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    python_requires=">=" + cfg["min_python"],
    license="Apache-2.0",
    author=cfg["author"],
    keywords=cfg["keywords"].split(", "),
    classifiers=["Intended Audience :: Science/Research", "Programming Language :: Python :: 3", "Topic :: Scientific/Engineering :: Bio-Informatics"],
    install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): cfg[key].split() for key in cfg if key.endswith("_requirements")},
    entry_points={"console_scripts": shlex.split(cfg["console_scripts"])},
    packages=find_packages(include=["tfbpmodeling", "tfbpmodeling.*"]),
    package_data={"tfbpmodeling": ["templates/**/*", "notebooks/*.ipynb"]},
)
