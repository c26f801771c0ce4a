"""The wheel: built, installed into a fresh environment, and run from somewhere else."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from agentmon import __version__
from tests.cli_run import ROOT, Answer, environment, ran
from tests.feeds import finished, write

BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def project_files() -> list[Path]:
    """Everything that the wheel is built from, so that a build can't dirty the project."""
    tracked = ["pyproject.toml", "schema.sql", "agentmon.tcss", "README.md", "LICENSE"]
    package = [path for path in (ROOT / "agentmon").rglob("*") if path.is_file()]
    kept = [path for path in package if "__pycache__" not in path.parts]
    return [*(ROOT / name for name in tracked), *kept]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the project."""
    base = tmp_path_factory.mktemp("wheel")
    for file in project_files():
        copy = base / "project" / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    built = ran([sys.executable, "-c", BUILD, str(base)], cwd=base / "project", env=environment())
    assert built.code == 0, built.err
    return base / built.out.splitlines()[-1]


@pytest.fixture(scope="session")
def bin_dir(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; what it depends on is seen through a .pth file."""
    base = tmp_path_factory.mktemp("venv")
    venv.create(base, with_pip=False, symlinks=True)
    python = base / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(where.stdout.strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-index"]
    env = {**environment(), "PYTHONPATH": ""}
    done = ran(
        [*pip, "--no-deps", "--ignore-installed", "--prefix", str(base), str(wheel)], env=env
    )
    assert done.code == 0, done.err
    assert (site / "agentmon" / "__init__.py").exists()
    return base / "bin"


def installed(bin_dir: Path, cwd: Path, *args: str) -> Answer:
    env = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    return ran([str(bin_dir / "agentmon"), *args], cwd=cwd, env=env)


def test_the_wheel_has_its_assets(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("agentmon/schema.sql") == (ROOT / "schema.sql").read_bytes()
        assert archive.read("agentmon/agentmon.tcss") == (ROOT / "agentmon.tcss").read_bytes()
        demo = (ROOT / "agentmon" / "demo.jsonl").read_bytes()
        assert archive.read("agentmon/demo.jsonl") == demo
    assert not [name for name in names if name.startswith("tests/")]
    assert wheel.name == f"agentmon-{__version__}-py3-none-any.whl"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_package_is_the_installed_one(bin_dir: Path, tmp_path: Path) -> None:
    ask = "import agentmon.assets as a; print(a.__file__); print(a.asset('schema.sql'))"
    env = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    answer = ran([str(bin_dir / "python"), "-c", ask], cwd=tmp_path, env=env)
    assert answer.code == 0, answer.err
    assert all(line.startswith(str(bin_dir.parent)) for line in answer.out.splitlines())


def test_it_runs_from_another_folder(bin_dir: Path, tmp_path: Path) -> None:
    assert installed(bin_dir, tmp_path, "--version") == Answer(0, f"agentmon {__version__}\n", "")
    log = write(tmp_path / "sse_lines.jsonl", finished(1))
    answer = installed(bin_dir, tmp_path, "--once", log.name)
    assert (answer.code, answer.err) == (0, "")
    assert "project-1" in answer.out
    demo = installed(bin_dir, tmp_path, "--demo")
    assert (demo.code, demo.err) == (0, "")
    assert len(demo.out.splitlines()) > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [log.name]
