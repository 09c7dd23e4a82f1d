"""Logs: one line an event on standard error, as text or JSON. Fields beside the message come as `extra`.

What looks like a token never gets out, wherever it came from; nor does what would end a line or move a terminal's cursor.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal

from terraloom_engines.server.checks import visible

__all__ = ["LogFormat", "LogLevel", "set_up"]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_TOKEN = re.compile(r"\btl_[\w-]{8,}")
_WORD = re.compile(r"[^\s=\"']+")
_QUIET = ("uvicorn", "asyncio", "httptools", "hpack")
"""Libraries that say at level info what is no event of the server's."""


class _Lines(logging.Formatter):
    """A record as one line."""

    def __init__(self, kind: LogFormat) -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._kind == "json":
            line = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(), **fields}
            text = json.dumps(line, default=str, ensure_ascii=False)
            return _TOKEN.sub("tl_***", text if text.isprintable() else json.dumps(line, default=str))
        told = "".join(f" {name}={value}" if _WORD.fullmatch(str(value)) else f" {name}={value!r}" for name, value in fields.items())
        return _TOKEN.sub("tl_***", visible(f"{time} {record.levelname:<7} {record.getMessage()}{told}"))


def set_up(kind: LogFormat, level: LogLevel) -> None:
    """Logs of this process go to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(kind))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
