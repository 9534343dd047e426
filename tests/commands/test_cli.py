"""The help texts of all commands, and where they send a user for the config's keys."""

import argparse

import pytest

from jaxaction.commands import cli, convert, flops, fuse, predict, report, zoo

MODULES = (convert, flops, fuse, predict, report, zoo)


def printed_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_prints_its_help(name, capsys):
    assert printed_help(name, capsys).startswith(f"usage: jaxaction {name}")


@pytest.mark.parametrize("name", ["train", "eval", "predict", "convert", "flops"])
def test_help_names_the_page_that_explains_the_config(name, capsys):
    assert "docs/config.md explains every key" in printed_help(name, capsys)


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_is_explained(module):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert [action.dest for action in parser._actions if not action.help] == []


@pytest.mark.parametrize("module", MODULES)
def test_help_has_the_default_of_every_number_and_word(module):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    for action in parser._actions:
        if isinstance(action.default, int | str) and action.default not in (
            "",
            False,
            argparse.SUPPRESS,
        ):
            assert f"(default: {action.default})" in action.help, action.dest
