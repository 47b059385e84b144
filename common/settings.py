"""The environment and a `.env` file in, one frozen Settings out: read once, at the edge."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.broker import url_file
from common.limits import FETCH_TIMEOUT_S
from common.typed_path import expand
from common.user_folders import cache_folder


class Settings(BaseSettings):
    """What a worker, or a plain `celery -A worker.app`, needs to know. Every field is `MANYEYES_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="MANYEYES_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    broker_url: str | None = Field(
        default=None, validation_alias=AliasChoices("MANYEYES_BROKER_URL", "CELERY_BROKER_URL")
    )
    #: Comma-separated NAME, PATH or NAME=PATH.
    detector: str = "hog"
    head: str | None = None
    labels: Path | None = None
    weights: Path | None = None
    #: Where models that were downloaded are kept; None: this user has no folder for it.
    cache: Path | None = Field(default_factory=cache_folder)
    #: A base URL (or folder URL) that holds the registry's model files under their own names.
    model_mirror: str | None = None

    #: How log lines are written: text or json.
    log: str = "text"
    #: FOLDER or URL, comma-separated: what a worker may read.
    roots: str = ""
    #: THERE=HERE, comma-separated: folders of the producer's machine that have another name here.
    map: str = ""
    #: Seconds that one attempt to read a URL may take.
    fetch_timeout: float = Field(default=FETCH_TIMEOUT_S, gt=0)
    #: Megabytes of resident memory that a pool process may have; 0: no bound.
    memory_limit: int = Field(default=0, ge=0)

    #: Obey all of Celery's remote commands, also those that change a worker: shutdown, pool_grow, revoke, and so on.
    remote_control: bool = False

    @field_validator("broker_url")
    @classmethod
    def _found_later_too(cls, value: str | None) -> str | None:
        return value and url_file.absolute(value)

    @field_validator("labels", "weights", "cache", mode="before")
    @classmethod
    def _expanded(cls, value: object) -> object:
        return expand(value) if isinstance(value, str) else value
