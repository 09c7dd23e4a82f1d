"""`terraloom info`, `doctor`, completion, and how every command tells what went wrong."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import terraloom_engines
from terraloom import Client
from terraloom.errors import CODES
from terraloom_engines.bundle import Bundle, embedded_bundles
from terraloom_engines.cli import main
from terraloom_engines.cli.app import COMMANDS, build
from terraloom_engines.cli.checkup import Finding, cores, examine, free_memory, lacking, requirements

COMMAND = [sys.executable, "-m", "terraloom_engines.cli"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment)


def found(name: str, store: Path | None = None, **ports: int) -> Finding:
    """One of the doctor's findings."""
    return next(finding for finding in examine(store, {f"--{option}": port for option, port in ports.items()}) if finding.name == name)


def test_info_of_a_server_is_what_it_describes(server: str, client: Client) -> None:
    answer, (world, *_) = client.describe(), client.worlds()
    result = run("info", server, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    facts = json.loads(result.stdout)
    assert (facts["server_version"], facts["protocol_version"], facts["runtime"]) == (answer.server_version, 1, answer.runtime)
    assert facts["worlds"][0]["name"] == "earth" and facts["worlds"][0]["identity"] == world.identity.hex()
    assert facts["worlds"][0]["kind"] == "planet" and facts["worlds"][0]["attribution"]
    assert facts["limits"]["max_sample_points"] == answer.max_sample_points
    assert facts["defaults"]["selection"]["screen_space_error"] == {"target_pixels": 16.0}


def test_info_without_a_server_tells_the_installed_bundle_with_its_licences() -> None:
    result = run("info", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    bundle = json.loads(result.stdout)["bundles"]["earth"]
    assert bundle["digest"] == Bundle.open(embedded_bundles()["earth"]).digest
    assert bundle["licence"] == "Apache-2.0" and "public domain" in bundle["attribution"]
    assert "ETOPO5" in bundle["base_data"]["elevation"]
    table = run("info", COLUMNS="200").stdout
    assert bundle["digest"] in table and "ETOPO5" in table


def test_the_doctor_says_that_this_machine_can_serve(tmp_path: Path) -> None:
    result = run("doctor", "--json", "--port", "0", "--http-port", "0", "--store", str(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    findings = {finding["name"]: finding for finding in answer["findings"]}
    assert answer["serves"] and {finding["state"] for finding in findings.values()} <= {"ok", "note"}
    assert "self-test passed" in findings["runtime"]["found"] and "CPUExecutionProvider" in findings["runtime"]["found"]
    assert str(tmp_path) in findings["store"]["found"] and list(tmp_path.iterdir()) == []
    assert {"terraloom", "packages", "bundle", "cores", "memory", "port", "http-port", "extras"} <= findings.keys()


def test_the_doctor_exits_with_1_and_says_what_to_do() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        result = run("doctor", "--http-port", str(holder.getsockname()[1]), "--port", "0", COLUMNS="200")
    assert result.returncode == 1
    assert "is taken" in result.stdout and "--http-port 0 takes any free one" in result.stdout
    assert "This machine cannot serve" in result.stdout


def test_a_port_that_a_server_of_ours_has_is_worth_a_note(server: str) -> None:
    finding = found("port", port=int(server.rpartition(":")[2]))
    assert finding.state == "note" and "a Terraloom server of version" in finding.found


def test_a_store_that_cannot_be_written_is_a_fault() -> None:
    finding = found("store", Path("/proc/none"))
    assert (finding.state, finding.remedy) == ("fault", "give --store a directory of yours")


def test_packages_that_are_missing_or_old_are_named() -> None:
    assert "onnxruntime" in requirements("server") and "numpy" in requirements("")
    assert lacking({"numpy": "1.0", "numpi": "1.0", "pillow": "9999.1"})[0] == "numpi"
    assert "needed is 9999.1" in lacking({"pillow": "9999.1"})[0]
    assert cores() >= 1 and (free_memory() or 1) > 0


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A second installation, whose bundle a test may break."""
    source = Path(terraloom_engines.__file__).parent
    shutil.copytree(
        source, tmp_path / "terraloom_engines", copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__", "viewer")
    )
    return tmp_path / "terraloom_engines/bundle/data/earth"


@pytest.mark.parametrize(
    ("file", "content", "complaint", "code"),
    [
        ("base.zip", b"PK\x03\x04 cut off", "file base.zip of bundle earth is missing or damaged (SHA-256 differs); reinstall", 1),
        ("imagery.onnx", None, "file imagery.onnx of bundle earth is missing or damaged", 1),
        ("manifest.json", b'{"name": "ear', "manifest.json of bundle earth is not JSON", 1),
        ("manifest.json", b"[1, 2]", "manifest.json of bundle earth is not a manifest", 1),
        ("manifest.json", None, "the bundle 'earth' is not installed; reinstall the package", 2),
    ],
)
def test_a_broken_bundle_is_told_in_one_line_and_never_served(
    broken: Path, file: str, content: bytes | None, complaint: str, code: int
) -> None:
    (broken / file).unlink()
    if content is not None:
        (broken / file).write_bytes(content)
    result = run("serve", "--port", "0", "--no-http", PYTHONPATH=str(broken.parents[3]))
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("error: ") and complaint in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["flie"], "No such command 'flie'"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--threads", "0"], "--threads"),
        (["fly", "--rate", "0"], "--rate"),
        (["fly", "--speed", "-5"], "a speed above 0"),
        (["fly", "--speed", "nan"], "a speed above 0"),
        (["fly", "--path", "/nowhere.csv"], "no file /nowhere.csv"),
        (["heights"], "Missing argument"),
        (["tile", "4/1/1", "--level", "x"], "--level"),
        (["serve", "--world", "mars"], "unknown world 'mars'"),
        (["serve", "--seed", "-1"], "seed -1 is out of range: allowed are 0 to 4294967295"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["terraloom", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and complaint in said.err and said.err.count("\n") == 1


def test_a_server_that_is_gone_is_named_with_exit_code_3() -> None:
    result = run("info", "127.0.0.1:1")
    assert result.returncode == 3 and result.stderr.startswith("error: 127.0.0.1:1: ") and result.stderr.count("\n") == 1


def test_the_page_has_every_command_with_an_example_whose_options_exist() -> None:
    page = (Path(__file__).parent.parent / "docs/cli.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    commands = get_command(build()).commands  # type: ignore[attr-defined]
    assert set(commands) <= sections.keys()
    for name, command in commands.items():
        examples = re.findall(rf"^    terraloom {name}(.*)$", sections[name], re.MULTILINE)
        assert examples
        for example in examples:
            shown = command.commands[example.split()[0]] if hasattr(command, "commands") else command
            options = {option for parameter in shown.params for option in parameter.opts}
            assert {word for word in example.split() if word.startswith("-") and not word[1:2].isdigit()} <= options
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert {known.exit for known in CODES.values()} <= codes


def test_shells_complete_commands_and_options(tmp_path: Path) -> None:
    script = run("--show-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert script.returncode == 0 and "_TERRALOOM_COMPLETE" in script.stdout
    answer = run(_TERRALOOM_COMPLETE="complete_bash", COMP_WORDS="terraloom ", COMP_CWORD="1").stdout
    assert set(COMMANDS) <= set(answer.split())
    assert re.fullmatch(r"terraloom \d+\.\d+\S*\n", run("--version").stdout)
    installed = run("--install-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert installed.returncode == 0 and (tmp_path / ".bash_completions/terraloom.sh").exists()
