"""A small corpus on disk."""

import json

import pytest

CITIES = [
    {"id": "p", "title": "Paris", "text": "Paris is the capital of France."},
    {"id": "l", "title": "Lyon", "text": "Lyon is a city in France."},
    {"id": "b", "title": "Bern", "text": "Bern is the capital of Switzerland."},
    {"id": "x", "title": "Vitamin C", "text": ""},
]


@pytest.fixture
def write_corpus(tmp_path):
    """`write_corpus(entries)`: a file with one line each; an entry may be text that is written as it is."""

    def write(entries=CITIES, name="corpus.jsonl"):
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
        return str(tmp_path / name)

    return write
