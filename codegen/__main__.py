"""`python -m codegen [write|check|show NAME VERSION]`: regenerate, list stale files, print a version's code."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final

from codegen.modules import module_name, module_text
from codegen.registry import api_text, releases_module_text
from codegen.releases import load_releases
from codegen.schema import Message, SchemaError, load

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOCOL: Final = Path("pykraft/protocol")
FOLDERS: Final = ("messages", "records")
_PACKAGE_TEXTS: Final = {
    "messages": '"""Generated: requests, responses, headers and data messages, one module each."""\n',
    "records": '"""Generated: the records of the metadata log, one module each."""\n',
}


def load_all(root: Path) -> list[Message]:
    """Every schema, in the order of the names."""
    messages = []
    for folder in FOLDERS:
        for path in sorted((root / "schemas" / folder).glob("*.json")):
            message = load(path)
            if message.name != path.stem or message.is_record != (folder == "records"):
                raise SchemaError(f"{folder}/{path.name}: holds the {message.type} {message.name}")
            messages.append(message)
    return messages


def generate(root: Path) -> dict[Path, str]:
    """Every generated file, by its path from the root of the checkout."""
    messages = load_all(root)
    files = {PROTOCOL / folder / "__init__.py": text for folder, text in _PACKAGE_TEXTS.items()}
    for message in messages:
        folder = "records" if message.is_record else "messages"
        files[PROTOCOL / folder / f"{module_name(message)}.py"] = module_text(message)
    files[PROTOCOL / "_tables.py"] = api_text(messages)
    releases = load_releases(root / "schemas" / "releases.json")
    files[PROTOCOL / "_releases.py"] = releases_module_text(releases)
    return files


def stale(root: Path) -> list[str]:
    """What differs between the checkout and what would be generated, one line a file."""
    files = generate(root)
    found = [
        f"{path}: {'missing' if not (root / path).exists() else 'stale'}"
        for path, text in files.items()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    ]
    present = {path.relative_to(root) for folder in FOLDERS for path in (root / PROTOCOL / folder).glob("*.py")}
    return sorted([*found, *(f"{path}: no longer generated" for path in present - files.keys())])


def write(root: Path) -> int:
    """Write every generated file, remove the ones no longer generated; gives the number of changed files."""
    changed = stale(root)
    files = generate(root)
    for line in changed:
        path = Path(line.partition(":")[0])
        if path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(files[path], "utf-8")
        else:
            (root / path).unlink()
    return len(changed)


def show(name: str, version: int) -> str:
    """The straight-line reader and writer of one version of a message or record, by schema or class name.

    Behind them those of runs in its arrays, for elements of one shape as an example.
    """
    from pykraft.protocol import _compile

    for message in load_all(ROOT):
        if name in (message.name, message.class_name):
            folder = "records" if message.is_record else "messages"
            module = importlib.import_module(f"pykraft.protocol.{folder}.{module_name(message)}")
            cls = getattr(module, message.class_name)
            if version not in message.versions:
                raise SystemExit(f"{name} has versions {message.versions}, not {version}")
            return "\n\n".join(
                [
                    _compile.decoder_source(cls, version),
                    _compile.encoder_source(cls, version),
                    *_compile.run_examples(cls, version),
                ]
            )
    raise SystemExit(f"no schema is named {name}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codegen", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("write", help="regenerate (the default)")
    commands.add_parser("check", help="list stale generated files; exit 1 when there are any")
    shown = commands.add_parser("show", help="print the straight-line code of one version")
    shown.add_argument("name")
    shown.add_argument("version", type=int)
    given = parser.parse_args(arguments)
    try:
        if given.command == "show":
            print(show(given.name, given.version), end="")
        elif given.command == "check":
            lines = stale(ROOT)
            print("\n".join([*lines, f"{len(lines)} stale: run `python -m codegen`"] if lines else ["up to date"]))
            return 1 if lines else 0
        else:
            print(f"{write(ROOT)} files changed")
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
