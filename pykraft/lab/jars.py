"""Kafka's released jars: fetched once through Maven, then a class path for `java -cp`.

They are kept in `$PYKRAFT_JARS`, else in `.jars/` of the checkout, else in `~/.cache/pykraft/jars`. One
folder per release holds `libs/`, the classes compiled from `pykraft/lab/java/` and a marker `complete`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pykraft.lab.errors import LabError

DEFAULT_VERSION = "3.9.1"
JAVA_SOURCES = Path(__file__).parent / "java"
FETCH_TIMEOUT_S = 1200.0
COMPILE_TIMEOUT_S = 120.0

_LOGGING_3 = [("org.slf4j", "slf4j-reload4j", "1.7.36")]
_LOGGING_4 = [
    ("org.apache.logging.log4j", "log4j-core", "2.24.3"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
]

Progress = Callable[[str], None]


def has_no_zookeeper(version: str) -> bool:
    """Whether this release is 4.0 or later: no ZooKeeper in it, and it logs through log4j 2."""
    return int(version.split(".")[0]) >= 4


def release(version: str) -> str:
    """The release that a version is a patch of, as `3.9` of `3.9.1`."""
    return ".".join(version.split(".")[:2])


def cache_folder() -> Path:
    """Where the jars of all releases are kept."""
    named = os.environ.get("PYKRAFT_JARS")
    if named:
        return Path(named)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".jars"
    return Path.home() / ".cache/pykraft/jars"


def java() -> str:
    """The `java` to run: of `$JAVA_HOME`, else of the PATH.

    Raises LabError when there is none.
    """
    return _program("java", "install a JDK 17, for instance: apt-get install openjdk-17-jdk-headless")


def _program(name: str, advice: str) -> str:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / name).exists():
        return str(Path(home) / "bin" / name)
    found = shutil.which(name)
    if found is None:
        raise LabError(f"there is no {name} on the PATH: {advice}")
    return found


def is_present(version: str = DEFAULT_VERSION) -> bool:
    """Whether the jars of this release have been fetched."""
    return (cache_folder() / version / "complete").exists()


def class_path(version: str = DEFAULT_VERSION) -> str:
    """The class path of one release, as `java -cp` takes it.

    Raises LabError when its jars have not been fetched.
    """
    if not is_present(version):
        raise LabError(
            f"the jars of Kafka {version} are not in {cache_folder()}: run tools/setup, "
            f"or `python -m pykraft.lab.jars {version}`"
        )
    return f"{cache_folder() / version / 'libs'}/*"


def ensure(version: str = DEFAULT_VERSION, progress: Progress = lambda _: None) -> str:
    """Fetch the jars of one release through Maven if they are not there, and return the class path.

    `progress` gets a line now and then while Maven works. Safe to call from several processes at once.
    Raises LabError when Maven is missing or cannot fetch them.
    """
    if not is_present(version):
        home = cache_folder() / version
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / "lock"):
            if not is_present(version):
                wanted = [("org.apache.kafka", name, version) for name in ("kafka_2.13", "kafka-tools")]
                _fetch(version, home, progress, [*wanted, *_logging(version)])
    return class_path(version)


def ensure_metadata_shell(version: str = DEFAULT_VERSION) -> str:
    """The class path of `kafka-metadata-shell`, which is in none of the other jars; fetched when it is not there.

    Raises LabError as `ensure` does.
    """
    home = cache_folder() / version / "metadata-shell"
    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / "lock"):
            if not (home / "complete").exists():
                wanted = [("org.apache.kafka", "kafka-shell", version), *_logging(version)]
                _fetch(version, home, lambda _: None, wanted)
    return f"{home / 'libs'}/*"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(version: str, home: Path, progress: Progress, wanted: Sequence[tuple[str, str, str]]) -> None:
    maven = _program("mvn", "install Maven, for instance: apt-get install maven")
    (home / "pom.xml").write_text(_pom(version, wanted))
    log = home / "maven.log"
    progress(f"fetching the jars of Kafka {version} with Maven into {home}")
    libs = Path(tempfile.mkdtemp(prefix="libs-", dir=home))
    goal = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [maven, "-B", "-ntp", goal, f"-DoutputDirectory={libs}"],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch_maven(process, libs, log, progress)
        except BaseException:
            process.kill()
            process.wait()
            shutil.rmtree(libs, ignore_errors=True)
            raise
    shutil.rmtree(home / "libs", ignore_errors=True)
    libs.chmod(0o755)
    libs.rename(home / "libs")
    (home / "complete").touch()
    progress(f"Kafka {version}: {len(list((home / 'libs').iterdir()))} jars")


def _watch_maven(process: subprocess.Popen[bytes], libs: Path, log: Path, progress: Progress) -> None:
    begun = time.monotonic()
    while True:
        try:
            code = process.wait(3)
        except subprocess.TimeoutExpired:
            elapsed_s = time.monotonic() - begun
            if elapsed_s > FETCH_TIMEOUT_S:
                reason = f"Maven has not ended within {FETCH_TIMEOUT_S:.0f} s"
                raise LabError(reason, process="mvn", log=log) from None
            progress(f"  {elapsed_s:3.0f} s: {len(list(libs.iterdir()))} jars")
            continue
        if code:
            raise LabError(f"Maven ended with {code}: is its repository within reach?", process="mvn", log=log)
        return


def _logging(version: str) -> list[tuple[str, str, str]]:
    return _LOGGING_4 if has_no_zookeeper(version) else _LOGGING_3


def _pom(version: str, wanted: Sequence[tuple[str, str, str]]) -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{number}</version>"
        "</dependency>\n"
        for group, artifact, number in wanted
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        f"<groupId>pykraft</groupId><artifactId>kafka-{version}</artifactId><version>1</version>\n"
        f"<dependencies>\n{dependencies}</dependencies></project>\n"
    )


def compiled(version: str = DEFAULT_VERSION) -> str:
    """The class path of one release with the classes of `pykraft/lab/java/` in front, compiled on first use.

    Raises LabError when the jars or `javac` are missing, or when the sources do not compile.
    """
    libs = class_path(version)
    sources = sorted(JAVA_SOURCES.glob("*.java"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    home = cache_folder() / version
    classes = home / f"classes-{digest}"
    if not classes.exists():
        with _locked(home / "lock"):
            if not classes.exists():
                _compile(sources, libs, classes)
    return f"{classes}:{libs}"


def _compile(sources: list[Path], libs: str, classes: Path) -> None:
    javac = _program(
        "javac",
        "a JRE is not enough; install a JDK 17, for instance: apt-get install openjdk-17-jdk-headless",
    )
    target = Path(tempfile.mkdtemp(prefix="classes-", dir=classes.parent))
    done = subprocess.run(
        [javac, "-nowarn", "-proc:none", "-cp", libs, "-d", str(target), *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(target)
        raise LabError(f"{JAVA_SOURCES} does not compile:\n{done.stderr}", process="javac")
    target.rename(classes)


def main() -> None:
    """`python -m pykraft.lab.jars [VERSION]…`: fetch those releases and compile the lab's own classes."""
    import sys

    for version in sys.argv[1:] or [DEFAULT_VERSION]:
        try:
            ensure(
                version,
                lambda line: print(line, file=sys.stderr),  # noqa: T201  a program's progress
            )
            compiled(version)
        except LabError as error:
            sys.exit(f"pykraft.lab.jars: {error}")


if __name__ == "__main__":
    main()
