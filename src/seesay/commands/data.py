"""`seesay data check`: what is in a data set, and what is broken in it."""

import sys
from pathlib import Path

from seesay.commands.options import Columns, console, count_pictures, mapped, print_json, say


def check(
    source: str,
    /,
    *,
    columns: Columns = None,
    task: str | None = None,
    root: Path | None = None,
    sheet: Path | None = None,
    json: bool = False,
) -> None:
    """Count, measure and preview a data set, and name what is broken in it.

    Args:
        source: A folder of pictures (with .txt beside them, or one folder a class), a CSV, TSV,
            JSON, JSONL or Parquet file, annotations (COCO, RefCOCO, VQA, GQA, NLVR), a folder that
            `datasets` saved, tar shards ('train-*.tar'); or an address: 'https://…/{000..009}.tar',
            hf://datasets/owner/name.
        columns: Which column is which, where names do not say: --map image=file question=text.
        task: Read the rows for this task: caption, vqa, ground, classify or dialogue.
        root: Where pictures are named from; by default the folder of the file.
        sheet: Also write a contact sheet of pictures and their text to this PNG file.
        json: Print the report as one JSON object.
    """
    from seesay.data.check import check as examine

    report = examine(
        source,
        columns=mapped(columns) or None,
        task=task,
        root=root,
        sheet=sheet,
        say=say,
        seen=_progress if sys.stderr.isatty() else _silent,
    )
    if json:
        print_json(report.as_dict())
    else:
        report.render(console())


def _progress(done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        count_pictures(done, total)


def _silent(done: int, total: int) -> None:
    pass
