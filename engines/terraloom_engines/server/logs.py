"""Logs: one line an event on standard error, as text or JSON. Fields beside the message come as `extra`.

What looks like a token never gets out, wherever it came from.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal

__all__ = ["LogFormat", "LogLevel", "set_up"]

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_TOKEN = re.compile(r"\btl_[\w-]{8,}")
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
            return _TOKEN.sub("tl_***", json.dumps(line, default=str, ensure_ascii=False))
        told = "".join(
            f" {name}={value}" if re.fullmatch(r"[^\s=\"']+", str(value)) else f" {name}={value!r}" for name, value in fields.items()
        )
        line_text = f"{time} {record.levelname:<7} {record.getMessage()}{told}"
        return _TOKEN.sub("tl_***", line_text.replace("\r", "\\r").replace("\n", "\\n"))


def set_up(kind: LogFormat, level: LogLevel) -> None:
    """Logs of this process go to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(kind))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
