"""Tasks from a domain's samples, from files in their published layouts, and from Hugging Face data sets."""

from .files import first_object, open_text, read_json, read_jsonl, read_table
from .formats import JSONL, readers_of, recognise
from .tasks import TaskSet, load_tasks, read_row

__all__ = [
    "JSONL",
    "TaskSet",
    "first_object",
    "load_tasks",
    "open_text",
    "read_json",
    "read_jsonl",
    "read_row",
    "read_table",
    "readers_of",
    "recognise",
]
