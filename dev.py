#!/usr/bin/env python3
"""Set up, run, test and measure Optgate.

Needs Python 3.11 or newer, nothing else. What it installs goes into .venv, as pinned and hashed in requirements/.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

NEEDED = (3, 11)


def too_old(version: "tuple[int, ...]", platform: str) -> str:
    """What to say to someone whose Python is too old. It runs on that Python: down to the check, all is Python 3.6."""
    newer = [name for name in (f"python3.{minor}" for minor in range(20, 10, -1)) if shutil.which(name)]
    if newer:
        remedy = f"This machine has a newer one: {newer[0]} dev.py"
    elif platform == "darwin":
        remedy = "On macOS: brew install python"
    else:
        remedy = "On Debian/Ubuntu (12 and 24.04, or later): sudo apt-get install -y git python3-venv"
    return f"Optgate needs Python 3.11 or newer; this is {'.'.join(map(str, version))}.\n{remedy}"


if sys.version_info[:2] < NEEDED:
    sys.exit(too_old(sys.version_info[:3], sys.platform))

from collections.abc import Iterator, Sequence  # noqa: E402

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMP = VENV / "optgate-stamp"  # first line: whose environment this is; then a line for each installed requirement file
COVERS = {"run": ("run",), "dev": ("run", "dev")}  # requirements/dev.txt holds all of run.txt

LINTERS = (  # the name that is shown, how to check, how to fix; commands are in .venv/bin
    ("ruff check", "ruff check --quiet .", "ruff check --quiet --fix ."),
    ("ruff format", "ruff format --quiet --check .", "ruff format --quiet ."),
    ("mypy", "mypy", "mypy"),
    ("lint-imports", "lint-imports", "lint-imports"),
    ("hadolint", "hadolint Dockerfile", "hadolint Dockerfile"),
)


# --- the environment ---------------------------------------------------------------------------


def set_up(wanted: str) -> None:
    """Make .venv hold what requirements/WANTED.txt pins, and `optgate` in it; at once when it already does.

    Starts over after a set-up that was cut short, when the folder has moved, and when the environment's Python is gone.
    """
    with one_at_a_time():
        if not is_usable():
            create()
        if fingerprint(wanted) not in stamped():
            install(wanted)
        link()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold off a second set-up of this folder until the first is through."""
    import fcntl  # not on Windows; main() has said so by now

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def is_usable() -> bool:
    """Whether .venv can be installed into; one made by hand can."""
    if not (BIN / "python").exists():
        return False
    if STAMP.exists():
        return stamped()[:1] == [identity()]
    probe = f"import pip, sys; sys.exit(sys.version_info < {NEEDED})"
    return subprocess.call([BIN / "python", "-c", probe], stderr=subprocess.DEVNULL) == 0


def identity() -> str:
    return f"{ROOT} {(BIN / 'python').resolve()}"


def fingerprint(requirements: str) -> str:
    content = (ROOT / "requirements" / f"{requirements}.txt").read_bytes()
    return f"{requirements}.txt {hashlib.sha256(content).hexdigest()}"


def stamped() -> list[str]:
    return STAMP.read_text().splitlines() if STAMP.exists() else []


def create() -> None:
    """Make an empty .venv, in place of whatever is there."""
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit(
            f"This Python ({sys.executable}) cannot make virtual environments: venv or ensurepip is missing.\n"
            "On Debian/Ubuntu: sudo apt-get install -y git python3-venv"
        )
    import venv

    print(f"Making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir(exist_ok=True)
    STAMP.write_text("")  # until the end of install(), whoever comes next starts over
    venv.EnvBuilder(symlinks=True, with_pip=True).create(VENV)


def install(requirements: str) -> None:
    """Install one requirement file, every package checked against its hashes: with uv if it is there, or pip."""
    source = ROOT / "requirements" / f"{requirements}.txt"
    started = time.monotonic()
    print(f"Installing requirements/{source.name} (the first time takes a minute)", flush=True)
    STAMP.write_text("")
    arguments = ("install", "--require-hashes", "--requirement", source)
    uv = find_uv()
    if not uv or call(uv, "pip", *arguments, "--quiet", "--python", BIN / "python"):
        if uv:
            print("uv could not, now with pip", flush=True)
        if call(BIN / "python", "-m", "pip", *arguments, "-qq", "--disable-pip-version-check", "--no-compile"):
            sys.exit("Installing failed, see above. Once that is mended, the same command starts over.")
    STAMP.write_text("\n".join([identity(), *map(fingerprint, COVERS[requirements])]) + "\n")
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def find_uv() -> str | None:
    return shutil.which("uv", path=os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]))


def link() -> None:
    """Put the rooms on the environment's path and `optgate` into its bin.

    By hand, because pip checks the hashes of everything or of nothing: beside hashed files it cannot install a folder.
    """
    (site_packages,) = VENV.glob("lib/python3*/site-packages")
    path, script = site_packages / "optgate.pth", BIN / "optgate"
    for file, content in ((path, f"{ROOT}\n"), (script, LAUNCHER.format(python=BIN / "python"))):
        if not file.exists() or file.read_text() != content:
            file.write_text(content)
    script.chmod(0o755)


# To sh the second line is `exec python optgate …`, to Python a string: a #! line cannot hold blanks or a long path.
LAUNCHER = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
'''
import sys

from gateway.cli import main

sys.exit(main())
"""


# --- the commands ------------------------------------------------------------------------------


def setup(run_only: bool) -> int:
    """Make .venv ready; --run-only leaves out what only tests need."""
    set_up("run" if run_only else "dev")
    print(f"Ready: {BIN / 'optgate'}")
    return 0


def run(arguments: Sequence[str]) -> int:
    """Start the gateway; ARGUMENTS go to `optgate serve`."""
    set_up("run")
    os.environ["PYTHONUNBUFFERED"] = "1"
    optgate = str(BIN / "optgate")
    os.execv(optgate, [optgate, "serve", "--first-steps", *arguments])


def test(arguments: Sequence[str]) -> int:
    """Run the linters and all tests; with ARGUMENTS only `pytest ARGUMENTS`."""
    set_up("dev")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of a hundred processes would compile the libraries anew
    pytest = (BIN / "python", "-m", "pytest")
    if arguments:
        return call(*pytest, *arguments)
    failed = failing_linters(fix=False)
    print("tests", flush=True)
    if call(*pytest, "-n", str(workers()), "--dist", "loadgroup"):
        failed.append("tests")
    return verdict(failed)


def workers() -> int:
    """Two for each processor, as a worker waits half its time: for slots, leases, ticks, disks and browsers."""
    processors = os.cpu_count() or 1
    return min(2 * processors, processors + 8)  # each holds some dozens of connections to the one PostgreSQL


def lint(fix: bool) -> int:
    """Run the linters; --fix mends what ruff can mend."""
    set_up("dev")
    return verdict(failing_linters(fix))


def bench(arguments: Sequence[str]) -> int:
    """Measure: `python -m bench ARGUMENTS`."""
    set_up("dev")
    return call(BIN / "python", "-m", "bench", *arguments)


def torture(arguments: Sequence[str]) -> int:
    """Kill gateways at crash points and check what they promise: `python -m tests.torture.run ARGUMENTS`."""
    set_up("dev")
    return call(BIN / "python", "-m", "tests.torture.run", *arguments)


def translations() -> int:
    """Bring the catalogues of texts in content/locales up to date with what the pages and letters say."""
    set_up("dev")
    return call(BIN / "python", "-m", "content.locales.build")


def pictures() -> int:
    """Take the README's pictures of what customers see anew, in a real browser."""
    set_up("dev")
    os.environ["OPTGATE_TEST_PICTURES"] = str(ROOT / "docs" / "pictures")
    return call(BIN / "python", "-m", "pytest", "tests/flows/pages/test_pictures.py")


def lock(upgrade: bool) -> int:
    """Pin requirements/ anew after a change of pyproject.toml; --upgrade moves all to the newest."""
    uv = find_uv()
    if not uv:
        sys.exit("Locking needs uv. To get it: .venv/bin/python -m pip install uv")
    compiler = [uv, "pip", "compile", "pyproject.toml", "--extra", "postgres", "--quiet"]
    compiler += ["--universal", "--python-version", f"{NEEDED[0]}.{NEEDED[1]}", "--generate-hashes"]
    compiler += ["--no-header", "--no-annotate", "--no-emit-index-url", *(["--upgrade"] if upgrade else [])]
    of_dev = ["--group", "test", "--group", "lint", "--constraints", "requirements/run.txt"]
    for file, more in (("requirements/run.txt", []), ("requirements/dev.txt", of_dev)):
        if call(*compiler, *more, "--output-file", file):
            return verdict([file])
    return 0


def call(*command: str | Path) -> int:
    """Run a command in the project's folder, its output for all to see; returns its exit status."""
    return subprocess.call([str(word) for word in command], cwd=ROOT)


def failing_linters(fix: bool) -> list[str]:
    """Run every linter, a line for each; what one has to say is shown when it fails. Returns the names of those."""
    failed = []
    for name, checking, fixing in LINTERS:
        print(f"{name:<14}", end="", flush=True)
        started = time.monotonic()
        program, *arguments = (fixing if fix else checking).split()
        command = [str(BIN / program), *arguments]
        ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        print(f"{'FAILED' if ended.returncode else 'ok':<6} {time.monotonic() - started:6.1f} s", flush=True)
        if ended.returncode:
            failed.append(name)
            print(ended.stdout.decode(errors="replace"), flush=True)
    return failed


def verdict(failed: Sequence[str]) -> int:
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks; returns the exit status."""
    if os.name != "posix":
        sys.exit("Optgate runs on Linux and macOS. On Windows, use it inside WSL.")
    parser = argparse.ArgumentParser(
        prog="python3 dev.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in (setup, run, test, lint, bench, torture, translations, pictures, lock):
        commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
    commands.choices["setup"].add_argument("--run-only", action="store_true", help="leave out what only tests need")
    commands.choices["lint"].add_argument("--fix", action="store_true", help="mend what ruff can mend")
    commands.choices["lock"].add_argument("--upgrade", action="store_true", help="move to the newest versions")

    # What follows these is somebody else's to read.
    passing = {"run": run, "test": test, "bench": bench, "torture": torture}
    if argv[:1] and argv[0] in passing and argv[1:] not in (["-h"], ["--help"]):
        return passing[argv[0]](argv[1:])
    asked = parser.parse_args(argv)
    if asked.command == "setup":
        return setup(asked.run_only)
    if asked.command == "lint":
        return lint(asked.fix)
    if asked.command == "translations":
        return translations()
    if asked.command == "pictures":
        return pictures()
    if asked.command == "lock":
        return lock(asked.upgrade)
    parser.print_help()
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
