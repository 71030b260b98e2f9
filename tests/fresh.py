"""Run the README's two commands and the quick tests in minimal Debian systems, as on a fresh machine.

Run by `tox -e fresh`, as root. Each part starts from a clean copy of a cached root, with the committed tree and an ordinary
user, in namespaces of its own. When a part ends or is killed, its processes, files and mounts are gone. apt and pip reach
their registries with this machine's configuration; the root has nothing else of the machine.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent

# The Pythons of each suite; a package called python3.N has each.
SUITES: Mapping[str, tuple[str, ...]] = {"bookworm": ("3.11",), "trixie": ("3.13",), "sid": ("3.14", "3.15")}
# The parts that are commands of the README, and the sections where these stand.
SECTIONS = {"run": "Run it", "test": "Test it"}
# All that a newcomer has installed.
PACKAGES = ("python3", "python3-pip")

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = {"unshare": "util-linux", "setpriv": "util-linux", "apt-get": "apt", "git": "git", "tar": "tar"}
TIME_LIMIT_S = 3600.0

# pip's settings that are about registries. Others, as constraints and folders of wheels, would bring this machine inside.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries")
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
APT_SETTING = re.compile(r'(Acquire::(?:https?::.+|Retries|ForceIPv[46]|Check-Date|Check-Valid-Until|Max-FutureTime) ".*");')

# Everything that is mounted here is seen in this namespace only, and everything that is written goes to memory.
ENTER = """
set -eu
name=$1 tree=$2 certificates=$3
shift 3
mount -t tmpfs -o mode=755 room room
mkdir room/upper room/work room/root
mount -t overlay -o "lowerdir=$name,upperdir=room/upper,workdir=room/work" system room/root
cd room/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts
mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for stream in stdin:0 stdout:1 stderr:2; do
    ln -s "/proc/self/fd/${stream#*:}" "dev/${stream%:*}"
done
for names in resolv.conf hosts; do
    if test -e /etc/$names; then cp -L /etc/$names etc/$names; fi
done
if test -n "$certificates"; then cp -L "$certificates" etc/ssl/registries.pem; fi
mkdir "$tree"
tar -x -C "$tree"
chroot . chown -R newcomer: "/$tree"
exec chroot --userspec=1000:1000 --groups= . "$@" </dev/null
"""
HOME = "home/newcomer"
TREE = f"{HOME}/sockiter"


class Unavailable(Exception):
    """This machine lacks a prerequisite: its name, and how to install or set it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A command to run in a suite's root; `tests`: it must report tests that passed."""

    suite: str
    name: str
    command: str
    tests: bool


@dataclass(frozen=True, slots=True)
class Registries:
    """How this machine reaches its registries: Debian's mirror, options for apt, and variables and certificates for pip."""

    mirror: str
    apt_options: tuple[str, ...]
    variables: Mapping[str, str]
    certificates: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e fresh --", description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", help=f"roots and parts: {', '.join([*SUITES, *part_names()])}; all, unless named")
    parser.add_argument("--anew", action="store_true", help="make the roots anew, even if they are kept")
    arguments = parser.parse_args()
    readme = git("show", "HEAD:README.md").decode()
    try:
        parts = chosen(arguments.what, readme)
    except ValueError as error:
        parser.error(str(error))
    try:
        return run(parts, anew=arguments.anew)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def run(parts: Sequence[Part], *, anew: bool) -> int:
    """Run parts one after the other and print a line for each; 1 if one of them failed."""
    require()
    registries = Registries(debian_mirror(apt_targets()), apt_options(apt_settings()), *pip_access())
    home = cache_folder()
    for folder in (home / "room", home / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    if git("status", "--porcelain"):
        print("changes that are not committed are left out")
    failed = False
    with tempfile.TemporaryFile() as tree:
        tree.write(git("archive", "--format=tar", "HEAD"))
        roots: dict[str, str | None] = {}
        for part in parts:
            if part.suite not in roots:
                roots[part.suite] = root(part.suite, home, registries, anew=anew)
            name = roots[part.suite]
            if name is None:
                failed = True
                continue
            tree.seek(0)
            log = home / "logs" / f"{part.suite}-{part.name}.log"
            with timed(part.suite, part.name) as result:
                command = inside(name, part.command, registries)
                status = carry_out(command, log, title=part.command, cwd=home, stdin=tree)
                result.good, result.text = judged(part, status, log.read_text(errors="replace"), log)
            failed |= not result.good
    return int(failed)


def chosen(words: Sequence[str], readme: str) -> list[Part]:
    """The parts that words name: all parts of a suite, a part in every suite that has it, or a part of a suite."""
    if unknown := set(words) - set(SUITES) - set(part_names()):
        raise ValueError(
            f"{', '.join(sorted(unknown))}: neither a root ({', '.join(SUITES)}) nor a part ({', '.join(part_names())})"
        )
    commands = {name: readme_command(readme, section) for name, section in SECTIONS.items()}
    parts = []
    for suite, pythons in SUITES.items():
        parts += [Part(suite, name, command, name == "test") for name, command in commands.items()]
        parts += [Part(suite, python, quick_tests(python), True) for python in pythons]
    suites = set(words) & set(SUITES) or set(SUITES)
    names = set(words) - set(SUITES) or set(part_names())
    if "quick" in names:
        names.update(python for pythons in SUITES.values() for python in pythons)
    if not (found := [part for part in parts if part.suite in suites and part.name in names]):
        raise ValueError(f"{' '.join(words)}: there is no such part in this root")
    return found


def part_names() -> list[str]:
    return [*SECTIONS, "quick", *(python for pythons in SUITES.values() for python in pythons)]


def readme_command(readme: str, section: str) -> str:
    """The only line of the first `sh` block in a section."""
    body = re.search(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    block = body and re.search(r"^```sh\n(.*?)^```$", body[1], re.MULTILINE | re.DOTALL)
    if block is None or len(lines := block[1].splitlines()) != 1:
        raise ValueError(f"README.md: the section {section!r} has no `sh` block of one line")
    return lines[0]


def quick_tests(python: str) -> str:
    return (
        f"python{python} -m venv --clear --without-pip venv"
        " && python3 -m pip --python venv/bin/python install -q -e '.[test]'"
        " && venv/bin/python -m pytest -n auto --dist worksteal -m 'not slow and not kernel' tests"
    )


def inside(name: str, command: str, registries: Registries) -> list[str]:
    """The command line that runs a shell command in a copy of a root, which lies in the working directory.

    Its standard input is the tree, as a tar archive. All of it dies with this process.
    """
    variables = {
        "HOME": f"/{HOME}",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        **registries.variables,
    }
    newcomer = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    shell = ["sh", "-c", f"cd ~/sockiter && {command}"]
    return [*namespaces(), "sh", "-c", ENTER, "sh", name, TREE, registries.certificates, *newcomer, *shell]


def namespaces() -> list[str]:
    """The prefix of a command whose processes and mounts end with it, and which ends with this process."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def making(program: str, suite: str, folder: Path, registries: Registries) -> list[str]:
    """The command line that makes a suite's root in a folder; signatures are checked against Debian's keyring."""
    packages = ",".join((*PACKAGES, *(f"python{python}" for python in SUITES[suite])))
    options = ["--variant=minbase", f"--keyring={KEYRING}", f"--include={packages}"]
    if program == "mmdebstrap":
        options += ["--mode=root", *(f"--aptopt={option}" for option in registries.apt_options)]
    else:
        options += ["--force-check-gpg"]
    return [*namespaces(), program, *options, suite, str(folder), registries.mirror]


def root(suite: str, home: Path, registries: Registries, *, anew: bool) -> str | None:
    """The name of the folder in `home` that has a suite's root, made unless it is kept; None if it cannot be made."""
    name = "-".join((suite, *SUITES[suite]))
    log = home / "logs" / f"{suite}-root.log"
    with alone(home / f".{name}.lock"), timed(suite, "root") as result:
        remove_parts(name, home)
        if not anew and (home / name).is_dir():
            result.text = f"kept, made {time.strftime('%Y-%m-%d', time.localtime((home / name).stat().st_mtime))}"
            return name
        part = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=home))
        try:
            part.chmod(0o755)
            command = making(maker(), suite, part, registries)
            status = carry_out(command, log, title=f"{maker()} {suite}", cwd=home)
            if status == 0:
                newcomer = ["useradd", "--create-home", "--uid", "1000", "newcomer"]
                status = carry_out([*namespaces(), "chroot", str(part), *newcomer], log, title="useradd newcomer", cwd=home)
            if status != 0:
                result.good, result.text = False, f"FAILED: {ending(status)}: {log}"
                return None
            # The names and registries of this machine that are left in there.
            for left in ("apt/apt.conf.d/99mmdebstrap", "apt/sources.list", "resolv.conf", "hostname"):
                (part / "etc" / left).unlink(missing_ok=True)
            os.utime(part)
            if (home / name).exists():
                (home / name).rename(part.with_suffix(".old.part"))
            part.rename(home / name)
            result.text = "made"
        finally:
            remove_parts(name, home)
    return name


def remove_parts(name: str, home: Path) -> None:
    """Remove a half-made root. The next run removes the files that a dying process still writes there."""
    for part in home.glob(f".{name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def carry_out(
    command: Sequence[str],
    log: Path,
    *,
    title: str,
    cwd: Path,
    stdin: IO[bytes] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> int | None:
    """Run a command and keep its output below its title. Returns its exit status; None after a timeout."""
    with open(log, "wb") as output:
        output.write(f"$ {title}\n".encode())
        output.flush()
        with subprocess.Popen(command, cwd=cwd, stdin=stdin or subprocess.DEVNULL, stdout=output, stderr=output) as process:
            try:
                return process.wait(time_limit_s)
            except subprocess.TimeoutExpired:
                return None
            finally:
                process.kill()


def judged(part: Part, status: int | None, output: str, log: Path) -> tuple[bool, str]:
    """Whether a part passed, and its report."""
    if status != 0:
        return False, f"FAILED: {ending(status)}: {log}"
    if part.tests and not re.search(r"\b[1-9]\d* passed\b", output):
        return False, f"FAILED: no test ran: {log}"
    return True, ", ".join(["passed", *summary(output)])


def summary(output: str) -> Iterator[str]:
    """The result of each environment in tox's last lines, or else pytest's last line."""
    environments = re.findall(r"^ {2}(\S+): (OK|SKIP) \(", output, re.MULTILINE)
    if environments:
        yield from (f"{name} {'skipped' if state == 'SKIP' else state}" for name, state in environments)
    elif counts := re.findall(r"^(\d+ passed.*?) in [\d.]+s", output, re.MULTILINE):
        yield counts[-1]


def ending(status: int | None) -> str:
    return "its time was up" if status is None else f"status {status}"


@dataclass(slots=True)
class RunResult:
    good: bool = True
    text: str = ""


@contextmanager
def timed(suite: str, name: str) -> Iterator[RunResult]:
    """A line: the name of a part, and behind it the duration and the result."""
    print(f"{suite:9} {name:5}", end="", flush=True)
    result = RunResult(good=True)
    start = time.monotonic()
    try:
        yield result
    finally:
        print(f"{time.monotonic() - start:8.1f} s  {result.text or 'stopped'}", flush=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    with open(lock, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "sockiter" / "fresh"


def require() -> None:
    """Raise `Unavailable` unless this is root, and all programs and Debian's keys are here."""
    if os.geteuid() != 0:
        raise Unavailable("tox -e fresh mounts and changes roots: it must be run as root")
    if missing := [f"{name} (Debian's package {package})" for name, package in PROGRAMS.items() if not shutil.which(name)]:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    maker()
    if not KEYRING.exists():
        raise Unavailable(f"{KEYRING} is not there: apt-get install debian-archive-keyring")


def maker() -> str:
    for program in ("mmdebstrap", "debootstrap"):
        if shutil.which(program):
            return program
    raise Unavailable("neither mmdebstrap nor debootstrap is installed")


def apt_targets() -> str:
    fields = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    return output_of(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])


def debian_mirror(targets: str) -> str:
    """The mirror of Debian's archive, from a line with origin, label and address for each index of apt's sources."""
    for target in targets.splitlines():
        if target.startswith("Debian Debian "):
            return target.split()[2]
    raise Unavailable("apt has no source of Debian's archive here, or no `apt-get update` was run")


def apt_settings() -> str:
    return output_of(["apt-config", "dump", "Acquire"])


def apt_options(settings: str) -> tuple[str, ...]:
    """Of apt's settings those that are about the way to a registry."""
    return tuple(match[1] for line in settings.splitlines() if (match := APT_SETTING.fullmatch(line)))


def pip_access() -> tuple[dict[str, str], str]:
    settings = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    return pip_variables(settings.stdout, os.environ)


def pip_variables(settings: str, environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The variables that lead pip to this machine's registries, and the file of certificates or "".

    `settings` is what `pip config list` prints.
    """
    found: dict[str, str] = {}
    # Variables of the environment count more than a command's section, and that more than the one for all.
    for section in ("global", "install", ":env:"):
        for line in settings.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                found[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    variables = {name: value for name, value in environment.items() if name.lower() in PROXIES}
    for name in PIP_SETTINGS:
        # Folders of this machine are no registries.
        words = [word for word in found.get(name, "").split() if not word.startswith(("file:", "/", "."))]
        if words:
            variables[f"PIP_{name.upper().replace('-', '_')}"] = " ".join(words)
    certificates = found.get("cert") or next((environment[name] for name in CERTIFICATES if environment.get(name)), "")
    if certificates:
        variables["PIP_CERT"] = "/etc/ssl/registries.pem"
    return variables, certificates


def git(*arguments: str) -> bytes:
    # The tree may belong to another user than root.
    command = ["git", "-c", f"safe.directory={REPOSITORY}", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout


def output_of(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
