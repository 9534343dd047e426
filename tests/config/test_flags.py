"""Command lines: what they give, and the one line that each mistake gives."""

import errno
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from jaxaction.commands import cli, entry
from jaxaction.config import flags, shipped
from jaxaction.errors import InputError, Interrupted
from tests.paths import ROOT

CONFIG = """
from ml_collections import ConfigDict

def get_config(variant=""):
    if variant not in ("", "big"):
        raise KeyError(variant)
    config = ConfigDict()
    config.model = ConfigDict({"name": "tsn", "depth": 101 if variant else 50})
    config.data = ConfigDict({"clip_len": 8, "size": (224, 224), "flip": 0.5, "names": ("a", "b")})
    config.optim = ConfigDict({"learning_rate": 0.1, "nesterov": False, "steps": (40, 80)})
    config.empty = ()
    config.test = ConfigDict({"clip_len": config.data.get_oneway_ref("clip_len")})
    return config
"""


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    file = tmp_path / "tsn.py"
    file.write_text(CONFIG)
    return str(file)


def train_error(*argv: str) -> str:
    with pytest.raises(InputError) as caught:
        flags.parse_train(argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def override(config_file: str, *argv: str) -> ConfigDict:
    return flags.parse_train(["--config", config_file, *argv]).config


def test_the_run_goes_to_a_directory_named_after_config_and_variant(config_file):
    assert flags.parse_train(["--config", config_file]).workdir == "runs/tsn"
    config, name, workdir = flags.parse_train([f"--config={config_file}:big"])
    assert (config.model.depth, name, workdir) == (101, "tsn-big", "runs/tsn-big")


def test_a_given_workdir_is_taken(config_file):
    parsed = flags.parse_train(["--config", config_file, "--workdir", "elsewhere"])
    assert parsed.workdir == "elsewhere"


@pytest.mark.parametrize(
    ("argv", "section", "key", "expected"),
    [
        (["--config.data.clip_len=16"], "data", "clip_len", 16),
        (["--config.data.clip_len", "16"], "data", "clip_len", 16),
        (["--config.optim.learning_rate=1"], "optim", "learning_rate", 1.0),
        (["--config.optim.learning_rate", "-1e-3"], "optim", "learning_rate", -1e-3),
        (["--config.optim.nesterov=True"], "optim", "nesterov", True),
        (["--config.optim.nesterov=0"], "optim", "nesterov", False),
        (["--config.data.size=(32,48)"], "data", "size", (32, 48)),
        (["--config.data.size=32,48"], "data", "size", (32, 48)),
        (["--config.data.size=()"], "data", "size", ()),
        (["--config.data.names=c, d"], "data", "names", ("c", "d")),
        (["--config.model.name=2"], "model", "name", "2"),
        (["--config.model.name="], "model", "name", ""),
    ],
)
def test_values_keep_the_type_of_the_config(config_file, argv, section, key, expected):
    value = override(config_file, *argv)[section][key]
    assert value == expected and type(value) is type(expected)


def test_an_empty_tuple_takes_what_is_written(config_file):
    assert override(config_file, "--config.empty=1,2").empty == (1, 2)
    assert override(config_file, "--config.empty=a,b").empty == ("a", "b")


def test_an_override_reaches_the_keys_that_refer_to_it(config_file):
    assert override(config_file, "--config.data.clip_len=16").test.clip_len == 16
    assert override(config_file, "--config.test.clip_len=4").data.clip_len == 8


def test_the_last_of_two_values_holds(config_file):
    config = override(config_file, "--config.data.clip_len=4", "--config.data.clip_len=2")
    assert config.data.clip_len == 2


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--config.data.clip_length=8", "did you mean --config.data.clip_len?"),
        ("--config.learning_rate=8", "did you mean --config.optim.learning_rate?"),
        ("--config.zzz=8", "sections are"),
        ("--config.data=8", "is a section; set one of its keys: data.clip_len"),
        ("--config.data.clip_len=8.5", "--config.data.clip_len=8.5: not a whole number"),
        ("--config.data.flip=often", "not a number"),
        ("--config.data.flip=nan", "not a finite number"),
        ("--config.data.size=(32,x)", "not a tuple"),
        ("--config.data.size=(32,1.5)", "1.5 is not of type int"),
        ("--config.optim.nesterov=maybe", "true or false"),
        ("--config.data.flip", "the value is missing"),
        ("--workdirs=x", "did you mean --workdir?"),
        ("--wat=x", "unknown flag; usage: train.py --config FILE"),
        ("wat", "unexpected argument"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(config_file, argument, words):
    message = train_error("--config", config_file, argument)
    assert message.startswith(argument.partition("=")[0]) and words in message


def test_a_wrong_value_among_right_ones_changes_nothing():
    config = ConfigDict({"a": 1, "b": 2})
    with pytest.raises(InputError):
        flags.apply_overrides(config, {"a": "3", "b": "x"})
    assert config.a == 1


@pytest.mark.parametrize("family", shipped.FAMILIES)
def test_a_name_is_a_shipped_config_wherever_the_program_was_started(tmp_path, monkeypatch, family):
    monkeypatch.chdir(tmp_path)
    config, name, workdir = flags.parse_train(["--config", family])
    assert config == flags.load_config(str(ROOT / "configs" / f"{family}.py"))
    assert (name, workdir) == (family, f"runs/{family}")


def test_a_name_takes_a_variant():
    config, name, _ = flags.parse_train(["--config", "slowfast:r50-4x16-k400"])
    assert (config.model.num_classes, name) == (400, "slowfast-r50-4x16-k400")


def test_a_shipped_config_shadows_no_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("slowfast.py").write_text(CONFIG)
    assert flags.parse_train(["--config", "slowfast.py"]).config.model.name == "tsn"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("slowfats", "slowfats: no such shipped config; there is slowfast, slowonly"),
        ("x", "x: no such shipped config; there is i3d, r2plus1d, slowfast, slowonly, tsm, tsn"),
        ("mine", "mine: no such shipped config; there is mine.py"),
    ],
)
def test_an_unknown_name_lists_the_likely_configs(tmp_path, monkeypatch, name, hint):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CONFIG)
    assert train_error("--config", name).endswith(hint)


def test_the_installed_package_is_no_folder_to_import_from(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tsn.py").write_text(CONFIG)
    assert flags.load_config("tsn").model.depth == 50
    assert str(tmp_path) not in sys.path


def test_a_missing_config_file_names_the_likely_one(config_file):
    assert config_file in train_error("--config", config_file.replace("tsn", "tns"))


def test_an_unknown_variant_is_named(config_file):
    assert "unknown variant 'huge'" in train_error("--config", f"{config_file}:huge")


def test_a_variant_of_a_config_without_any_is_refused(tmp_path):
    (tmp_path / "c.py").write_text("def get_config():\n    return None\n")
    assert "no variants" in train_error("--config", f"{tmp_path}/c.py:big")


def test_a_file_without_get_config_is_refused(tmp_path):
    (tmp_path / "c.py").write_text("")
    assert "no function get_config" in train_error("--config", f"{tmp_path}/c.py")


def test_a_file_that_is_no_python_is_refused(tmp_path):
    (tmp_path / "c.py").write_text("def get_config() return\n")
    assert "c.py: not Python, expected ':' (c.py, line 1)" in train_error(
        "--config", f"{tmp_path}/c.py"
    )


def test_no_config_prints_the_usage():
    assert "usage: train.py --config FILE" in train_error()


@pytest.mark.parametrize("program", ["train.py", "eval.py", "jaxaction train", "jaxaction eval"])
def test_help_leaves_with_exit_code_0_and_names_the_program(capsys, program):
    with pytest.raises(SystemExit) as caught:
        if program.startswith("jaxaction"):
            cli.main([program.split()[1], "--help"])
        else:
            (flags.parse_train if program == "train.py" else flags.parse_eval)(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {program} --")


def test_a_command_that_misses_a_flag_names_its_own_usage():
    with pytest.raises(InputError, match="--config is missing; usage: jaxaction train --config"):
        cli.main(["train"])


def test_help_lists_all_commands(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == cli.COMMANDS.keys()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "COMMAND is missing; there is train, eval, predict"),
        (["trian"], "trian: no such command; did you mean train?"),
        (["fly"], "fly: no such command; there is train, eval, predict"),
    ],
)
def test_an_unknown_command_is_answered_with_the_known_ones(argv, words):
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        cli.main(argv)


def test_eval_keeps_overrides_as_text():
    parsed = flags.parse_eval(["--workdir=w", "--config.test.crops=center"])
    assert parsed == ("w", {"test.crops": "center"}, "")


def test_eval_without_workdir_is_refused():
    with pytest.raises(InputError, match="--workdir is missing"):
        flags.parse_eval([])


def test_a_script_ends_with_one_line_and_exit_code_2(config_file):
    script = (
        "from jaxaction.commands import entry\n"
        "from jaxaction.config import flags\n"
        "entry.run_main(lambda argv: flags.parse_train(argv) and None)"
    )
    argv = [sys.executable, "-c", script, "--config", config_file, "--config.data.clip_length=1"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "did you mean" in done.stderr


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        entry.run_main(lambda argv: 1 // 0)


def leave(error):
    def main(argv):
        raise error

    with pytest.raises(SystemExit) as caught:
        entry.run_main(main)
    return caught.value.code


def test_an_interrupt_leaves_with_130():
    assert leave(KeyboardInterrupt()) == 130


def test_sigterm_that_was_waited_for_leaves_with_143(capsys):
    assert leave(Interrupted("ended by SIGTERM after step 7, which is saved")) == 143
    said = capsys.readouterr().err
    assert said.endswith(
        "ended by SIGTERM after step 7, which is saved; the same command goes on\n"
    )


def test_a_full_disk_ends_with_a_line_and_exit_code_2_and_other_errors_do_not(capsys):
    assert leave(OSError(errno.ENOSPC, "No space left on device", "events")) == 2
    line = (
        "[Errno 28] No space left on device: 'events'; make room there, then give the same command"
    )
    assert capsys.readouterr().err.endswith(f": {line}\n")
    with pytest.raises(PermissionError):
        entry.run_main(lambda argv: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))


def test_too_little_memory_ends_with_a_line_and_exit_code_2(capsys):
    text = "RESOURCE_EXHAUSTED: Out of memory allocating 26668675968 bytes.\nmore"
    assert leave(jax.errors.JaxRuntimeError(text)) == 2
    line = capsys.readouterr().err
    assert "no memory left (Out of memory allocating 26668675968 bytes.); lower train.batch" in line
    assert line.count("\n") == 1


def test_a_reader_that_goes_away_ends_a_script_without_a_traceback():
    script = "from jaxaction.commands import entry; entry.run_main(lambda argv: print('x' * 10**6))"
    command = f"{sys.executable} -c {shlex.quote(script)} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (141, "x", "")


def test_a_config_that_is_added_to_the_folder_is_found_by_its_name(tmp_path, monkeypatch):
    text = "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'a': 1})\n"
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "common.py").write_text(text)
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    assert flags.load_config("mine").a == 1
    with pytest.raises(InputError, match="--config common: no such shipped config"):
        flags.load_config("common")
