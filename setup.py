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

STATUS = {"3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}
SYSTEMS = {"Linux": "POSIX :: Linux", "macOS": "MacOS"}
classifiers = [
    f"Development Status :: {STATUS[cfg['status']]}",
    f"Intended Audience :: {cfg['audience']}",
    f"Natural Language :: {cfg['language']}",
    *(f"Operating System :: {SYSTEMS[system]}" for system in cfg["systems"].split()),
    "Programming Language :: Python :: 3",
    *(f"Programming Language :: Python :: {version}" for version in cfg["tested_python"].split()),
    "Framework :: Jupyter",
    "Topic :: Scientific/Engineering :: Bio-Informatics",
]

setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    python_requires=">=" + cfg["min_python"],
    license="Apache-2.0",
    author=cfg["author"],
    keywords=cfg["keywords"].split(", "),
    classifiers=classifiers,
    project_urls={name: cfg[key] for name, key in (("Source", "git_url"), ("Documentation", "doc_host")) if cfg[key]},
    install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): cfg[key].split() for key in cfg if key.endswith("_requirements")},
    entry_points={"console_scripts": shlex.split(cfg["console_scripts"])},
    packages=find_packages(include=["tfbpmodeling", "tfbpmodeling.*"]),
    package_data={"tfbpmodeling": ["templates/**/*", "notebooks/*.ipynb"]},
)
