"""Extensions: the arguments made of their templates, the settings that a job may change, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.agent.commands.extensions import argv, extension_commands, settings
from quarterdeck.agent.processes.environment import Templates
from quarterdeck.model.errors import BadConfig, BadInput
from quarterdeck.model.extensions import ExtensionConfig, check_name, words
from quarterdeck.model.jobs import JobOffer


def extension(*args: str, **more: Any) -> ExtensionConfig:
    return ExtensionConfig(binary="/bin/backup", args=args, **more)


def job(**args: Any) -> JobOffer:
    return JobOffer(id="one", cmd="backup", args=args)


def filled(template: str, home: Path = Path("/home"), **args: Any) -> str:
    (found,) = argv(extension(template), job(**args), Templates(home))
    return found


@pytest.mark.parametrize(
    ("template", "args", "expected"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("--to={target}", {"target": "a b; rm -rf $HOME"}, "--to=a b; rm -rf $HOME"),
        ("{a}{b}-{a}", {"a": "x", "b": ""}, "x-x"),
        ("{level:1}", {}, "1"),
        ("{level:}", {}, ""),
        ("{level:a:b c}", {}, "a:b c"),
        ("{level:1}", {"level": 9}, "9"),
        ("{on}{off}", {"on": True, "off": False}, "truefalse"),
        ("{n}", {"n": 1.5}, "1.5"),
        ("{{{n}}}", {"n": 1}, "{1}"),
        ("{{n}}", {}, "{n}"),
        ("{text}", {"text": "{n} {{"}, "{n} {{"),
        ("⚓{text}", {"text": "é\n"}, "⚓é\n"),
    ],
)
def test_a_template_is_one_argument_whatever_is_filled_in(template: str, args: dict[str, Any], expected: str) -> None:
    assert filled(template, **args) == expected


def test_folders_are_put_into_templates_and_not_into_what_was_asked(tmp_path: Path) -> None:
    assert filled("$agentroot/{name_}", tmp_path, name_="$agentroot") == f"{tmp_path}/$agentroot"
    assert filled("$rootwards $root $$root", tmp_path) == "$rootwards / $root"
    env = extension(env={"STATE": "$agentroot/state"})
    assert settings(env, job(), Templates(tmp_path)).env == {"STATE": f"{tmp_path}/state"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "needs the argument 'target'"),
        ({"target": None}, "needs the argument 'target'"),
        ({"target": "x", "traget": "y"}, "takes target; found 'traget'"),
        ({"target": ["x"]}, "text or a number"),
        ({"target": {"a": 1}}, "text or a number"),
        ({"target": "a\0b"}, "NUL"),
        ({"target": "x", "env": {"LD_PRELOAD": "/tmp/x.so"}}, "found 'env'"),
        ({"target": "x", "user": "root"}, "found 'user'"),
        ({"target": "x", "workingdir": "/"}, "found 'workingdir'"),
        ({"target": "x", "memory": "9G"}, "found 'memory'"),
    ],
)
def test_an_argument_that_is_missing_or_not_used_is_named(args: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        filled("{target}", **args)


def test_a_command_sets_times_levels_and_names_and_nothing_else() -> None:
    configured = extension("{name}", user="backup", max_time=60, memory="1M", env={"A": "b"}, domain="disk")
    asked = job(name="x", max_time=5, max_restart=2, loglevels="7", queue="q", domain="tape")
    assert settings(configured, asked, Templates(Path("/home"))) == extension(
        "{name}", user="backup", max_time=5, max_restart=2, memory="1M", env={"A": "b"}, domain="tape", loglevels="7"
    ), "`name` is the template's here"
    assert argv(configured, asked, Templates(Path("/home"))) == ("x",)
    assert settings(configured, job(name="x"), Templates(Path("/home"))) == configured


@pytest.mark.parametrize("args", [{"max_time": "long"}, {"max_time": -3}, {"max_restart": 1.5}])
def test_a_setting_of_the_wrong_kind_is_an_error(args: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="max_"):
        settings(extension(), job(**args), Templates(Path("/home")))


@given(st.text(), st.text().filter(lambda text: "\0" not in text))
def test_any_text_can_be_written_as_a_template_and_any_value_filled_in(text: str, value: str) -> None:
    written = text.replace("{", "{{").replace("}", "}}")
    assert words(written) == [(text, "", None)]
    assert [part for part, *_ in words(f"{written}{{a}}{written}")] == [text, text]
    assert filled("<{a}>", a=value) == f"<{value}>"


@pytest.mark.parametrize("template", ["{", "}", "{a", "a}", "{}", "{1}", "{a b}", "{a{b}}", "{{}", "{a:{b}}"])
def test_a_template_that_makes_no_sense_is_refused_by_the_configuration(template: str) -> None:
    with pytest.raises(BadConfig, match="literal brace twice"):
        extension(template)


@pytest.mark.parametrize("name", ["", "a b", "1a", "a/b", "-a", "é", "a" * 65])
def test_a_name_that_no_extension_may_have_is_refused(name: str) -> None:
    with pytest.raises(BadConfig, match="cannot be an extension's name"):
        check_name(name)


def test_a_name_that_every_agent_has_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"agent\.extensions\.ping"):
        extension_commands({"ping": extension()}, None, None, taken={"ping"})  # type: ignore[arg-type]
