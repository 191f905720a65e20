"""Values of judges in a SQLite file, so that a later run need not ask again. The file holds no text."""

import sqlite3
from hashlib import sha256

from gainful.errors import IntegrityError, StoreError

__all__ = ["JudgementFile"]

_CREATE = "CREATE TABLE IF NOT EXISTS judgements (key BLOB PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID"


class JudgementFile:
    """A table from a digest of judge, revision, question and pair to a value."""

    def __init__(self, path: str, judge: str, revision: str) -> None:
        """Open or create the file.

        Raises:
            StoreError: It cannot be opened, or is no SQLite file.
        """
        self._path = path
        self._origin = (judge, revision)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute(_CREATE)
        except sqlite3.Error as error:
            raise StoreError(f"judge.cache_path: expected a SQLite file at {path!r}, {error}") from error

    def get(self, parts: tuple[str, ...]) -> float | None:
        """The value of an ask, None if there is none.

        Raises:
            IntegrityError: What stands there is no probability.
        """
        row = self._execute("SELECT value FROM judgements WHERE key = ?", self._key(parts)).fetchone()
        if row is None:
            return None
        if not isinstance(row[0], float) or not 0 <= row[0] <= 1:
            raise IntegrityError(
                f"judge.cache_path: {self._path!r} must hold values in [0, 1], found {row[0]!r:.40}; delete the file"
            )
        return row[0]

    def put(self, parts: tuple[str, ...], value: float) -> None:
        """Keep a value; what is there already stays."""
        self._execute("INSERT OR IGNORE INTO judgements VALUES (?, ?)", self._key(parts), value)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _execute(self, statement: str, *values: bytes | float) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise StoreError(f"judge.cache_path: {self._path!r}: {error}") from error

    def _key(self, parts: tuple[str, ...]) -> bytes:
        """Lengths go in too, so that no two keys have the same bytes."""
        digest = sha256()
        for part in (*self._origin, *parts):
            data = part.encode(errors="surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()
