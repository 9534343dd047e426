"""Says which packages there are; all else is in pyproject.toml.

`configs/` lies beside the package in a clone, to be read and changed, and inside it in a wheel, as
`jaxaction.configs`, since a package `configs` of its own would clash with other projects'.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jaxaction*"]), "jaxaction.configs"],
    package_dir={"jaxaction.configs": "configs"},
)
