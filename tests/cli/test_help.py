"""Every command has a `--help` with an example, and each example is a command line that the command takes."""

from __future__ import annotations

import argparse
import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib import import_module

import pytest

from pykraft.cli import main


def everything() -> argparse.ArgumentParser:
    """The parser of `pykraft` with all commands in it."""
    parser = argparse.ArgumentParser(prog="pykraft")
    subparsers = parser.add_subparsers()
    for name in main.COMMANDS:
        import_module(f"pykraft.cli.{name}").add_parser(subparsers)
    return parser


def below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Each command and subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                # Some parsers get their arguments only when they are used.
                with suppress(SystemExit), redirect_stdout(io.StringIO()):
                    each.parse_known_args(["--help"])
                yield each
                yield from below(each)


PARSER = everything()
COMMANDS = {each.prog: each for each in below(PARSER)}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_the_command_takes(name: str) -> None:
    text = COMMANDS[name].epilog or ""
    _, said, examples = text.partition("example")
    assert said, f"{name} --help has no example"
    found = re.findall(r"pykraft (?!-)[^|\n]*", examples)
    assert found
    for example in found:
        options = PARSER.parse_args(shlex.split(example)[1:])
        assert callable(options.func)
        assert example.startswith(name), "an example of the command itself"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_the_command_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([*name.split()[1:], "--help"])
    assert ended.value.code == 0
    assert f"usage: {name}" in capsys.readouterr().out
    assert COMMANDS[name].description, f"{name} --help does not say what it does"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"pykraft \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
