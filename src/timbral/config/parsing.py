"""Read YAML and JSON; repeated keys are errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from timbral.errors import ConfigError

__all__ = ["parse_document", "read_document"]


def read_document(path: Path) -> Any:
    """The content of a YAML or JSON file; None if it is empty.

    JSON is parsed as JSON, because YAML does not allow its tabs. Raises ConfigError if the file
    cannot be read, is neither YAML nor JSON, or contains a key twice in one mapping.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 ({error})") from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> Any:
    """Parse text that came from `source`; ConfigError, with the line, if it is invalid."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except _RepeatedKeyError as error:
        raise ConfigError(f"{source}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None
    except ValueError:
        pass
    return _parse_yaml(text, source)


class _RepeatedKeyError(ValueError):
    def __init__(self, key: object) -> None:
        super().__init__(f"the key {key!r} is given twice in one section; keep one of them")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise _RepeatedKeyError(key)
        content[key] = value
    return content


def _parse_yaml(text: str, source: str) -> Any:
    import yaml  # not needed for the JSON of a checkpoint

    class UniqueKeyLoader(yaml.SafeLoader):
        """Refuses a mapping with a repeated key, of which PyYAML would silently use the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            lines: dict[Any, int] = {}
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":  # merged keys may be overridden
                    continue
                key = self.construct_object(key_node, deep=True)
                line = key_node.start_mark.line + 1
                if (
                    isinstance(key, str | int | float | None)
                    and lines.setdefault(key, line) != line
                ):
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{_RepeatedKeyError(key)}: lines {lines[key]} and {line}"
                    )
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2001-99-99
        raise ConfigError(f"{source}: is not YAML ({error})") from None
