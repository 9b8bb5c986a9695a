"""Options from a file: ``[tool.rnnbench]`` of pyproject.toml, or a TOML file named with ``--config``.

A key is an option's name without its dashes; at the top it is meant for every command that has the option, in a
command's table for that command. Flags win over the file.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError, unknown

PROJECT = "pyproject.toml"
# These choose what is read or shown, and not how a command works.
NOT_CONFIGURED = frozenset({"config", "help"})

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """What a file says. ``path``: the file, None where there is none; ``table``: its keys and values, as written."""

    path: Path | None = None
    table: Mapping[str, Any] = field(default_factory=dict)

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield every key with its value, those of a command's table as "run.cells"."""
        for key, value in self.table.items():
            if isinstance(value, Mapping):
                yield from ((f"{key}.{inner}", one) for inner, one in value.items())
            else:
                yield key, value

    def defaults(self, command: str, commands: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
        """Return the values for ``command``: parameter name -> (where it is written, value as typed on a command line).

        ``commands``: every command by name, with its ``params``; the whole file is checked against them. Raises
        RnnbenchError for a key that no option has and for a value that an option cannot take.
        """
        options = {name: _options(one.params) for name, one in commands.items()}
        found: dict[str, tuple[str, Any]] = {}
        own: dict[str, tuple[str, Any]] = {}
        for key, value in self.table.items():
            if key in options and isinstance(value, Mapping):
                for inner, one in value.items():
                    parameter = _option(inner, options[key], f"[{key}] of {self.path}")
                    setting = _setting(f"{key}.{inner} in {self.path}", parameter, one)
                    if key == command:
                        own[parameter.name] = setting
                continue
            known = {option for accepted in options.values() for option in accepted}
            _option(key, dict.fromkeys([*known, *options]), str(self.path))
            for name, accepted in options.items():
                parameter = accepted.get(_plain(key))
                setting = parameter and _setting(f"{key} in {self.path}", parameter, value)
                if name == command and parameter and setting:
                    found[parameter.name] = setting
        return found | own


# What the command that this process runs was given from a file, for ``doctor`` and for the record of how it was called.
in_force = Configuration()
words_in_force: tuple[str, ...] = ()


def put_in_force(configuration: Configuration, words: Iterable[str]) -> None:
    """Keep the configuration of this process's command, and the words on a command line that say the same."""
    global in_force, words_in_force
    in_force, words_in_force = configuration, tuple(words)


def command_line(arguments: Iterable[str]) -> str:
    """Return the command that ``arguments`` and the configuration make together, ready to be pasted into a shell."""
    return shlex.join(["rnnbench", *arguments, *words_in_force])


def read(path: Path | None) -> Configuration:
    """Return what ``path`` says, or the nearest pyproject.toml with [tool.rnnbench] from the current folder upwards.

    Raises RnnbenchError for a file that cannot be read or is no TOML.
    """
    if path is not None:
        document = _load(path)
        table = _of_project(document)
        return Configuration(path, document if table is None else _checked(table, path))
    here = Path.cwd()
    for folder in (here, *here.parents):
        project = folder / PROJECT
        if project.is_file():
            table = _of_project(_load(project))
            if table is not None:
                return Configuration(project, _checked(table, project))
    return Configuration()


def _load(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RnnbenchError(f"cannot read configuration {path}: {(error.strerror or str(error)).lower()}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RnnbenchError(f"configuration {path} is not TOML: {error}") from error


def _of_project(document: Mapping[str, Any]) -> Any | None:
    """Return what stands under [tool.rnnbench], None where nothing does."""
    tool = document.get("tool")
    return tool.get("rnnbench") if isinstance(tool, Mapping) else None


def _checked(table: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise RnnbenchError(f"tool.rnnbench in {path} must be a table, got {table!r}")
    return table


def _plain(key: str) -> str:
    return key.replace("_", "-")


def _options(parameters: Iterable[Any]) -> Options:
    """Return the options among a command's parameters by each of their long names, without the dashes."""
    return {
        name[2:]: parameter
        for parameter in parameters
        for name in parameter.opts
        if name.startswith("--") and name[2:] not in NOT_CONFIGURED
    }


def _option(key: str, options: Options, place: str) -> Any:
    if _plain(key) not in options:
        raise unknown(f"key in {place}:", key, options)
    return options[_plain(key)]


def _setting(place: str, parameter: Any, value: Any) -> tuple[str, Any]:
    """Return ``place`` and the value as a command line would have it: a truth, a text, or a list of texts."""
    flag = bool(getattr(parameter, "is_flag", False))
    if isinstance(value, Mapping):
        raise RnnbenchError(f"{place} must be a value, got a table")
    if flag != isinstance(value, bool):
        raise RnnbenchError(f"{place} must be {'true or false' if flag else 'no truth value'}, got {value!r}")
    if flag:
        return place, value
    values = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return place, values if parameter.multiple else ",".join(values)
