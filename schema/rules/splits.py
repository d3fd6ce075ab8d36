"""Rules on records together: what repeats, what leaks from one split into another, and how labels are spread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..index.columns import repeats_in
from .chi_square import chi_square
from .corpus import At, Corpus
from .examples import DATA, Drawing, Example, line, one_line
from .rule import RuleSet

TOGETHER: RuleSet[Corpus, At] = RuleSet("records")

_TEST = DATA.replace("train", "test")


def _two(train: list[str], test: list[str], **images: Drawing) -> Example:
    files: dict[str, str | bytes | Drawing] = {DATA: "\n".join(train) + "\n", _TEST: "\n".join(test) + "\n"}
    suffix = {"JPEG": ".jpg", "PNG": ".png"}
    files |= {f"images/{name}{suffix[each.format]}": each for name, each in images.items()}
    return Example(files)


@TOGETHER.rule(
    "R113",
    "repeated-id",
    "An id stands in more than one record of a dataset.",
    "Give each record an id of its own; predictions and reports go by it.",
    bad=one_line(line("a"), line("a", user="Another?")),
    good=one_line(line("a"), line("b", user="Another?")),
)
def repeated_id(corpus: Corpus) -> Iterator[At]:
    for repeats in corpus.repeats("id"):
        firsts = repeats.firsts()
        order = np.argsort(repeats.rows, kind="stable")
        sources = corpus.source_numbers(repeats.rows)
        groups = repeats.groups()
        seen: dict[tuple[int, int], int] = {}
        for at in order.tolist():
            row, key = int(repeats.rows[at]), (int(groups[at]), int(sources[at]))
            if firsts[at] != row and key in seen:
                yield At(f"the id was seen before, at {corpus.where(seen[key])}", row)
            seen.setdefault(key, row)


@TOGETHER.rule(
    "R114",
    "repeated-record",
    "A record says the same as another of its split, under another id.",
    "Remove it; it counts twice in training, and in evaluation.",
    severity="warning",
    bad=one_line(line("a", user="What?", assistant="This."), line("b", user="What?", assistant="This.")),
    good=one_line(line("a", user="What?", assistant="This."), line("b", user="What?", assistant="That.")),
)
def repeated_record(corpus: Corpus) -> Iterator[At]:
    ids = corpus.column("id")
    for repeats in corpus.repeats("content"):
        splits, groups = corpus.split_numbers(repeats.rows), repeats.groups()
        seen: dict[tuple[int, int], int] = {}
        for at in np.argsort(repeats.rows, kind="stable").tolist():
            row, key = int(repeats.rows[at]), (int(groups[at]), int(splits[at]))
            if key in seen and ids[row] != ids[seen[key]]:
                yield At(f"says the same as {corpus.where(seen[key])}", row)
            seen.setdefault(key, row)


@TOGETHER.rule(
    "R115",
    "missing-answer",
    "A turn has no answer, in a split where others have one.",
    "Write the answer, or take the record out. A split without any answers is one to predict, and is let be.",
    bad=one_line(line("a"), line("b", assistant="")),
    good=one_line(line("a"), line("b", assistant="No.")),
)
def missing_answer(corpus: Corpus) -> Iterator[At]:
    answered = corpus.column("answered")
    rows = np.flatnonzero(answered == 0)
    if not len(rows):
        return
    sources, splits = corpus.source_numbers(rows), corpus.split_numbers(rows)
    with_answers = _with_answers(corpus, answered)
    for row, source, split in zip(rows.tolist(), sources.tolist(), splits.tolist(), strict=True):
        if (source, split) in with_answers:
            yield At("a turn has no answer", row)


def _with_answers(corpus: Corpus, answered: npt.NDArray[np.uint64]) -> set[tuple[int, int]]:
    """Return the dataset and split of every split that has an answer."""
    rows = np.flatnonzero(answered)
    pairs = np.stack([corpus.source_numbers(rows), corpus.split_numbers(rows)])
    return {(int(source), int(split)) for source, split in np.unique(pairs, axis=1).T}


@TOGETHER.rule(
    "S601",
    "group-in-two-splits",
    "Records of one `meta.group` lie in more than one split: what is tested was seen in training.",
    "Split the data again by group.",
    bad=_two([line("a", meta={"group": "g1"})], [line("b", meta={"group": "g1"})]),
    good=_two([line("a", meta={"group": "g1"})], [line("b", meta={"group": "g2"})]),
)
def group_in_two_splits(corpus: Corpus) -> Iterator[At]:
    for row, other, count in _leaks(corpus, "group"):
        also = f"; {count} records in all" if count > 2 else ""
        yield At(f"its group is also in the split {corpus.split(other)}, at {corpus.where(other)}{also}", row)


@TOGETHER.rule(
    "S602",
    "record-in-two-splits",
    "A record's questions, answers and images are those of a record in another split.",
    "Remove one of them.",
    bad=_two([line("a", user="What?", assistant="This.")], [line("b", user="What?", assistant="This.")]),
    good=_two([line("a", user="What?", assistant="This.")], [line("b", user="What?", assistant="That.")]),
)
def record_in_two_splits(corpus: Corpus) -> Iterator[At]:
    for row, other, _ in _leaks(corpus, "content"):
        yield At(f"is also in the split {corpus.split(other)}, at {corpus.where(other)}", row)


@TOGETHER.rule(
    "S603",
    "answer-in-two-splits",
    "A question is asked with the same answer in another split, about other images. Questions that many records ask "
    "are taken for templates and let be.",
    "Split the data again by group, or by question.",
    severity="warning",
    bad=_two(
        [line("a", user="Is the cat black?", assistant="No.", images=["a.png"])],
        [line("b", user="Is the cat black?", assistant="No.", images=["b.png"])],
        a=Drawing("PNG"),
        b=Drawing("PNG", seed=1),
    ),
    good=_two(
        [line("a", user="Is the cat black?", assistant="No.", images=["a.png"])],
        [line("b", user="Is the dog black?", assistant="No.", images=["b.png"])],
        a=Drawing("PNG"),
        b=Drawing("PNG", seed=1),
    ),
)
def answer_in_two_splits(corpus: Corpus) -> Iterator[At]:
    questions, contents = corpus.column("question"), corpus.column("content")
    templates = _templates(corpus)
    for row, other, _ in _leaks(corpus, "answer"):
        if contents[row] != contents[other] and int(questions[row]) not in templates:
            yield At(f"the split {corpus.split(other)} asks and answers the same, at {corpus.where(other)}", row)


def _templates(corpus: Corpus) -> set[int]:
    """Return the hashes of the questions that many records ask."""
    found: set[int] = set()
    questions = corpus.column("question")
    for repeats in corpus.repeats("question"):
        sizes = np.diff(np.append(repeats.starts, len(repeats.rows)))
        rows = repeats.rows[repeats.starts[sizes > corpus.settings.limits.template]]
        found.update(np.asarray(questions[rows]).tolist())
    return found


def _leaks(corpus: Corpus, column: str) -> Iterator[tuple[int, int, int]]:
    """Yield records that share a value with one in a split further up: the row, the other's, and how many share it.

    Of the records of one split that share it, the first is yielded.
    """
    for repeats in corpus.repeats(column):
        splits = corpus.split_numbers(repeats.rows)
        firsts = np.repeat(splits[repeats.starts], np.diff(np.append(repeats.starts, len(repeats.rows))))
        groups = repeats.groups()
        leaking = np.flatnonzero(splits != firsts)
        sizes = np.bincount(groups, minlength=len(repeats.starts))
        _, first = np.unique(np.stack([groups[leaking], splits[leaking]]), axis=1, return_index=True)
        at = leaking[np.sort(first)]
        for place in at[np.argsort(repeats.rows[at], kind="stable")].tolist():
            group = int(groups[place])
            yield int(repeats.rows[place]), int(repeats.rows[repeats.starts[group]]), int(sizes[group])


@TOGETHER.rule(
    "S604",
    "image-in-two-splits",
    "An image is shown in more than one split: the same path, or another file with the same content.",
    "Keep all records of an image in one split: give them one `meta.group`.",
    level="files",
    bad=_two([line("a", images=["a.jpg"])], [line("b", images=["b.jpg"])], a=Drawing(), b=Drawing()),
    good=_two([line("a", images=["a.jpg"])], [line("b", images=["b.jpg"])], a=Drawing(), b=Drawing(seed=1)),
)
def image_in_two_splits(corpus: Corpus) -> Iterator[At]:
    for reference, other in _shared_images(corpus):
        row, there = (int(corpus.references("record")[each]) for each in (reference, other))
        name, same = corpus.image_name(reference), corpus.image_name(other)
        what = f"{name} is also shown" if name == same else f"{name} has the content of {same}, which is shown"
        yield At(f"{what} in the split {corpus.split(there)}, at {corpus.where(there)}", row, image=f"images/{name}")


def _shared_images(corpus: Corpus) -> Iterator[tuple[int, int]]:
    """Yield images that are shown in a split further up, too, each with the first that shows it there."""
    records, images = corpus.references("record"), corpus.references("image")
    for repeats in repeats_in(corpus.references("content")):
        splits = corpus.split_numbers(np.asarray(records[repeats.rows], np.int64))
        groups = repeats.groups()
        seen: dict[int, int] = {}
        reported: set[tuple[int, int]] = set()
        for at in np.argsort(repeats.rows, kind="stable").tolist():
            reference, group, split = int(repeats.rows[at]), int(groups[at]), int(splits[at])
            first = seen.setdefault(group, at)
            other = int(repeats.rows[first])
            if splits[first] == split or (split, int(images[reference])) in reported:
                continue
            reported.add((split, int(images[reference])))
            if images[reference] == images[other] or _equal(corpus, reference, other):
                yield reference, other


def _equal(corpus: Corpus, one: int, other: int) -> bool:
    """Tell whether two images that look alike by what was read of them are the same to the last byte."""
    if corpus.settings.level == "pixels":
        return True
    data = corpus.image_bytes(one)
    return bool(data) and data == corpus.image_bytes(other)


@TOGETHER.rule(
    "S605",
    "near-image-in-two-splits",
    "An image is near-identical to one in another split: compressed, scaled, brightened or cut a little.",
    "Keep both in one split: give their records one `meta.group`.",
    severity="warning",
    level="pixels",
    bad=_two(
        [line("a", images=["a.png"])], [line("b", images=["b.jpg"])], a=Drawing("PNG", 192, 128), b=Drawing("JPEG")
    ),
    good=_two(
        [line("a", images=["a.png"])],
        [line("b", images=["b.jpg"])],
        a=Drawing("PNG", 192, 128),
        b=Drawing("JPEG", seed=1),
    ),
)
def near_image_in_two_splits(corpus: Corpus) -> Iterator[At]:
    # OpenCV takes a quarter of a second to import, and few runs come here.
    from .near import near_pairs

    for reference, other in near_pairs(corpus):
        row, there = (int(corpus.references("record")[each]) for each in (reference, other))
        name, same = corpus.image_name(reference), corpus.image_name(other)
        where = f"in the split {corpus.split(there)}, at {corpus.where(there)}"
        yield At(f"{name} is near-identical to {same} {where}", row, image=f"images/{name}")


def _labelled(train: dict[str, int], test: dict[str, int] | None = None) -> Example:
    """Return a dataset whose splits have so many records of each label."""
    files: dict[str, str | bytes | Drawing] = {}
    for name, counts in ((DATA, train), (_TEST, test)):
        if counts is not None:
            ids = [(f"{name[5:-6]}-{label}-{number}", label) for label in counts for number in range(counts[label])]
            files[name] = "".join(line(each, meta={"label": label}) + "\n" for each, label in ids)
    return Example(files)


@TOGETHER.rule(
    "S606",
    "label-drift",
    "The labels of two splits are not drawn from one distribution, by a chi-square test.",
    "Split the data again, stratified by label; or leave it, if the splits are meant to differ.",
    severity="warning",
    bad=_labelled({"cat": 60, "dog": 60}, {"cat": 50, "dog": 10}),
    good=_labelled({"cat": 60, "dog": 60}, {"cat": 28, "dog": 32}),
)
def label_drift(corpus: Corpus) -> Iterator[At]:
    for number, source in enumerate(corpus.sources):
        splits = [split for split, counts in source.labels.items() if counts]
        for split in splits[1:]:
            one, other = source.labels[splits[0]], source.labels[split]
            # A test has no say over cells that are nearly empty.
            common = [label for label in one if label in other and one[label] + other[label] >= 10]
            test = chi_square([[each[label] for label in common] for each in (one, other)])
            if test is not None and test.p < corpus.settings.limits.p_value:
                said = f"chi-square {test.statistic:.1f} with {test.freedom} degrees of freedom, p = {test.p:.1e}"
                file = source.dataset.files.get(split, split)
                yield At(f"labels are spread otherwise than in the split {splits[0]}: {said}", -1, number, file)


@TOGETHER.rule(
    "S607",
    "label-in-one-split",
    "A label stands in one of the splits alone: it is never tested, or never trained on.",
    "Split the data again, stratified by label, or correct the label.",
    severity="warning",
    bad=_labelled({"cat": 3, "dog": 3}, {"cat": 3, "dgo": 1}),
    good=_labelled({"cat": 3, "dog": 3}, {"cat": 3, "dog": 1}),
)
def label_in_one_split(corpus: Corpus) -> Iterator[At]:
    for number, source in enumerate(corpus.sources):
        labelled = {split: counts for split, counts in source.labels.items() if counts}
        for split, counts in labelled.items():
            others = [other for other in labelled if other != split]
            alone = [label for label in counts if others and not any(label in labelled[other] for other in others)]
            if alone:
                named = ", ".join(alone[:5]) + (f" and {len(alone) - 5} more" if len(alone) > 5 else "")
                file = source.dataset.files.get(split, split)
                yield At(f"labels that no other split has: {named}", -1, number, file)


@TOGETHER.rule(
    "S608",
    "unbalanced-labels",
    "One label stands more than ten times as often as another in a split; chance does not explain it.",
    "Know it when you read the accuracy; report it a class, or sample the classes evenly.",
    severity="warning",
    bad=_labelled({"cat": 120, "dog": 4}),
    good=_labelled({"cat": 60, "dog": 50}),
)
def unbalanced_labels(corpus: Corpus) -> Iterator[At]:
    for number, source in enumerate(corpus.sources):
        for split, counts in source.labels.items():
            if len(counts) < 2:
                continue
            (most, highest), (least, lowest) = counts.most_common()[0], counts.most_common()[-1]
            mean = sum(counts.values()) / len(counts)
            test = chi_square([list(counts.values()), [mean] * len(counts)], expected=True)
            if highest > 10 * lowest and test is not None and test.p < corpus.settings.limits.p_value:
                said = f"{most} {highest} times, {least} {lowest} times"
                said += f" (chi-square {test.statistic:.1f}, p = {test.p:.1e})"
                yield At(f"labels are not balanced: {said}", -1, number, source.dataset.files.get(split, split))
