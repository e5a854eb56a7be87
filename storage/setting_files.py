"""Settings from files: ``ADMIN_ACCESS_TOKEN_FILE`` names the file that holds the token.

So are secrets handed to containers, and kept out of environments that others may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

__all__ = ["FILE_SUFFIX", "SettingsFromFiles", "files_named_for"]

FILE_SUFFIX = "_FILE"
LONGEST_FILE_BYTES = 65_536


class SettingsFromFiles(BaseSettings):
    """Settings of the environment and of ``.env``, each of which may name files."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the weightiest first."""
        sources = [init_settings]
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)  # noqa: S101
            sources += [source, _FileSource(settings_cls, source.env_vars)]
        return tuple(sources)


def files_named_for(settings_class: type[BaseSettings], fields: Iterable[str]) -> list[Path]:
    """Return the files that the environment and ``.env`` name for fields; they need not exist."""
    sources = (EnvSettingsSource(settings_class), DotEnvSettingsSource(settings_class))
    named = (source.env_vars.get(_variable(it).lower()) for it in fields for source in sources)
    return [Path(path) for path in named if path]


class _FileSource(PydanticBaseSettingsSource):
    """The settings whose files are named among ``variables`` (by their names in lower case).

    It stands beside the source that ``variables`` are of, and has no more weight than that one.
    Raises ``SettingsError``, which never shows what a file holds, for a file that cannot be read
    and for a variable that is set beside its file.
    """

    def __init__(
        self, settings_class: type[BaseSettings], variables: Mapping[str, str | None]
    ) -> None:
        super().__init__(settings_class)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the field's file holds, if one is named."""
        variable = _variable(field_name)
        path = self._variables.get(variable.lower())
        if not path:
            return None, field_name, False
        if self._variables.get(field_name):
            raise SettingsError(f"{variable}: set it or {field_name.upper()}, not both")
        return _read(variable, Path(path)) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all files."""
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _variable(field_name: str) -> str:
    return f"{field_name.upper()}{FILE_SUFFIX}"


def _read(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise SettingsError(f"{variable}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path}: is not UTF-8 text") from None
    except ValueError:
        raise SettingsError(f"{variable}: holds U+0000") from None
    if len(content) > LONGEST_FILE_BYTES:
        raise SettingsError(f"{variable}: {path}: is longer than {LONGEST_FILE_BYTES} bytes")
    return text.strip()  # an editor leaves a line end behind
