"""A conversion without worker processes: the engine's own plan and worker, one item after the other."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phi3v_data.converters.engine.messages import Done, Failed, Failure, Job, Work
from phi3v_data.converters.engine.plan import Selection, make_plan
from phi3v_data.converters.engine.work import Worker
from phi3v_data.converters.images import ImageSettings
from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.record import Record, decode_record


@dataclass
class Converted:
    """What became of every item: records by split, and what was refused, by the place that people are shown."""

    images: Path
    records: dict[str, list[Record]] = field(default_factory=dict)
    refused: dict[str, Failure] = field(default_factory=dict)

    def all(self) -> list[Record]:
        return [record for records in self.records.values() for record in records]

    def reasons(self) -> dict[str, str]:
        return {path: failure.message for path, failure in self.refused.items()}


def convert_here(source: str, folder: Path | str, out: Path, **options: Any) -> Converted:
    """Convert a folder of raw data into `out`/images, with the source's options as the command line would give them."""
    spec = ConverterSpec(source=source, input=str(folder), options=options)
    job = Job(spec=spec, out=str(out), folder="images", images=ImageSettings())
    worker, found = Worker(job), Converted(out / "images")
    with tempfile.TemporaryFile() as stream:
        plan = make_plan(spec.build(), Selection(), stream)
        for index, planned in enumerate(plan):
            item = planned.item
            if planned.failure is not None:
                found.refused[item.path] = planned.failure
                continue
            outcome = worker.convert(Work(index, item))
            if isinstance(outcome, Failed):
                found.refused[item.path] = outcome.failure
            elif isinstance(outcome, Done):
                found.records.setdefault(item.split, []).append(decode_record(bytes(outcome.record)))
            else:
                raise RuntimeError(outcome.message)
    return found
