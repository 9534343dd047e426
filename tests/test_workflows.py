"""The files for GitHub, pre-commit and citations parse, and agree with the rest of the project."""

import re
import tomllib

import pytest
import yaml

from jaxaction import __version__
from tests.paths import ROOT

FILES = sorted(
    path
    for pattern in ("*.cff", ".pre-commit-config.yaml", ".github/**/*.yml")
    for path in ROOT.glob(pattern)
)


def load(name):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_parses(path):
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)


def test_the_workflow_tests_the_pythons_that_the_project_names():
    pythons = load(".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    page = (ROOT / "docs" / "installing.md").read_text("utf-8")
    tried = re.findall(r"^\| (3\.\d+)\.\d+ \| constraints \|", page, re.MULTILINE)
    assert pythons == classifiers == tried
    assert project["requires-python"] == f">={pythons[0]}"


def test_the_workflow_installs_and_checks_as_readme_and_ci_do():
    jobs = load(".github/workflows/tests.yml")["jobs"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"    {commands(jobs['tests'])[0]} && pytest\n" in readme
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    checks = {"ruff check .", "ruff format --check .", "lint-imports", "pyright", "codespell"}
    assert checks <= set(commands(jobs["tests"]))
    assert all(f"\n{check}" in script for check in checks)
    assert any("sphinx-build -W" in command for command in commands(jobs["docs"]))


def test_only_the_job_that_publishes_may_prove_who_it_is():
    workflow = load(".github/workflows/publish.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "permissions" not in workflow["jobs"]["build"]
    assert "jaxaction.__version__" in "".join(commands(workflow["jobs"]["build"]))


def test_pre_commit_downloads_nothing():
    (repo,) = load(".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    assert [hook["entry"].split()[0] for hook in repo["hooks"]] == [
        "ruff",
        "ruff",
        "pyright",
        "codespell",
    ]


def test_the_citation_names_this_version():
    assert load("CITATION.cff")["version"] == __version__
