"""Tests of gateway/commands/init_questions.py, and of how ``ponder init`` asks them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy_files import PolicyFiles
from gateway.commands.init_questions import POLICIES, Answers, ask, configuration, read_answers
from gateway.errors import ConfigurationError
from gateway.settings import load, read
from gateway.steering import put_in_force
from gateway.wiring import catalog
from tests.commands.conftest import Ponder
from tests.upstreams.gateway_process import REPOSITORY

SERVER = "http://127.0.0.1:8080/v1 Qwen/Qwen3-8B"
ENDS_S = 60


def test_a_server_of_ones_own_is_ready_to_answer() -> None:
    """An address and a model become an upstream and the model that the shipped policies know, priced as free."""
    text = configuration(Answers(models=(SERVER,), policy="thrift", keep_text_days=3))
    settings = read("ponder.yaml", text)
    assert settings.upstreams["own"].base_url == "http://127.0.0.1:8080/v1"
    assert (settings.models["local"].name, settings.models["local"].price) == ("Qwen/Qwen3-8B", "free")
    assert settings.policy == "thrift"
    assert (settings.retention.store_text, settings.retention.text_days) == (True, 3)
    assert "#cors:" in text


def test_providers_are_those_of_the_environment() -> None:
    """A hosted provider needs its key in the environment and nothing else; with it all its models are there."""
    text = configuration(Answers(models=("anthropic", SERVER)))
    settings = read("ponder.yaml", text)
    assert "# anthropic: all its models are there by ANTHROPIC_API_KEY in the environment." in text
    models = catalog(settings, {"ANTHROPIC_API_KEY": "k"}, embedded_url=None)[0].models
    assert {"local", "claude-haiku-5-5"} <= models.keys()


def test_several_servers_have_names_of_their_own() -> None:
    """Each server is an upstream; the first one's model is the policies' own."""
    settings = read("ponder.yaml", configuration(Answers(models=(SERVER, "http://gpu-2:8000/v1 small"))))
    assert {name: model.upstream for name, model in settings.models.items()} == {"local": "own", "local-2": "own-2"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("models", [("anthropic",), ("mistral",), ("xai",), (SERVER,)], ids=lambda each: each[0][:9])
def test_every_answer_leaves_model_auto_with_an_arm(policy: str, models: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever is answered, the policy that decides has an arm that can be called."""
    config = tmp_path / "ponder.yaml"
    config.write_text(configuration(Answers(models=models, policy=policy)))
    settings = load(config)
    environment = dict.fromkeys(("ANTHROPIC_API_KEY", "MISTRAL_API_KEY", "XAI_API_KEY"), "k")
    found = catalog(settings, environment, embedded_url=None)[0]
    active = put_in_force(PolicyFiles(config).read(settings), found.models, found.defaults, found.verifiers)
    assert active[settings.policy].ready.arms


def test_an_answer_that_is_refused_is_asked_for_again() -> None:
    """The question is put once more, with what is accepted."""
    given: Iterator[str] = iter(["nobody", "anthropic, openai", "best", "careful", "some", "0"])
    asked: list[str] = []

    def prompt(question: str, default: str) -> str:
        asked.append(question)
        return next(given) or default

    assert ask(prompt) == Answers(models=("anthropic", "openai"), policy="careful")
    assert [text.partition("\n")[0][:22] for text in asked[1::2]] == [
        "takes anthropic, opena", "takes default, thrift,", "That must be a whole n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"models": ["nobody"]}, "models: takes anthropic"),
        ({"policy": "best"}, "policy: takes default, thrift, careful"),
        ({"keep_text_days": -1}, "keep_text_days"),
        ({"model": []}, "the answers are models, policy, keep_text_days"),
        ([], "the answers are"),
    ],
)
def test_a_file_of_answers_is_checked(document: Any, words: str) -> None:
    """What is refused of a file is named, with what would be accepted."""
    with pytest.raises(ConfigurationError, match=words):
        read_answers(document)


def test_answers_come_from_a_file_or_from_input(run: Ponder, config: Path) -> None:
    """With ``--answers`` nothing is asked; the variable that is missing is named."""
    done = run("init", "--answers", "-", typed="models: [openai]\npolicy: careful\n")
    assert done.exit_code == 0, done.output
    assert "Set OPENAI_API_KEY" in done.output
    assert load(config).policy == "careful"


def test_only_one_source_is_taken(run: Ponder, config: Path) -> None:
    """Answers and a configuration to convert exclude one another."""
    config.with_name("a.yaml").write_text("{}")
    refused = run("init", "--answers", str(config.with_name("a.yaml")), "--no-questions")
    assert refused.exit_code == 2
    assert "take one of" in refused.output


def test_a_terminal_is_asked_three_questions(config: Path) -> None:
    """In a terminal each question is put, nothing typed takes the default, and the file stands."""
    terminal, inner = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PONDER_CONFIG": str(config)}
    command = [sys.executable, "-m", "gateway.cli", "init"]
    process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=environment)
    os.close(inner)
    os.write(terminal, b"\nthrift\n\n")
    seen: list[bytes] = []
    reading = threading.Thread(target=_read, args=(terminal, seen))
    reading.start()
    assert process.wait(ENDS_S) == 0
    reading.join()
    os.close(terminal)
    shown = b"".join(seen).decode()
    assert [words in shown for words in ("Whose models?", "Who decides", "For how many days")] == [True] * 3
    assert load(config).policy == "thrift"


def _read(terminal: int, seen: list[bytes]) -> None:
    try:
        while piece := os.read(terminal, 65536):
            seen.append(piece)
    except OSError:  # the other end is closed
        pass
