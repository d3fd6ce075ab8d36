"""Arrow's cells as plain JSON values, and the place of an image's bytes in them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

__all__ = ["has_bytes", "marked", "plain_values"]


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_image(kind: pa.DataType) -> bool:
    """Tell whether this is how `datasets` stores an image: a struct of its bytes and its path."""
    index = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return index >= 0 and _is_binary(kind.field(index).type)


def has_bytes(kind: pa.DataType) -> bool:
    """Tell whether cells of this type hold bytes, at any depth."""
    if _is_binary(kind):
        return True
    return any(has_bytes(kind.field(index).type) for index in range(kind.num_fields))


def plain_values(array: pa.Array) -> list[Any]:
    """Return an array's cells with marks in the place of bytes, which are not copied."""
    kind = array.type
    if isinstance(kind, pa.ExtensionType):
        return plain_values(array.storage)
    if not has_bytes(kind):
        values: list[Any] = array.to_pylist()
        return values
    valid = array.is_valid().to_pylist()
    if _is_binary(kind):
        return [_mark(None) if there else None for there in valid]
    if _is_list(kind):
        inner = iter(plain_values(array.flatten()))
        lengths = array.value_lengths().to_pylist()
        return [None if length is None else [next(inner) for _ in range(length)] for length in lengths]
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        children = [plain_values(child) for child in array.flatten()]
        rows = [dict(zip(names, cells, strict=True)) for cells in zip(*children, strict=True)]
        return [marked(row, kind) if there else None for row, there in zip(rows, valid, strict=True)]
    return [None] * len(array)


def marked(value: Any, kind: pa.DataType) -> Any:
    """Put marks where a cell's bytes would be, which were not loaded."""
    if isinstance(kind, pa.ExtensionType):
        return marked(value, kind.storage_type)
    if not has_bytes(kind):
        return value
    if _is_binary(kind):
        return value or _mark(None)
    if value is None:
        return None
    if _is_image(kind):
        path = value.get("path")
        return _mark(path if isinstance(path, str) else None)
    if _is_list(kind):
        return [marked(element, kind.value_type) for element in value]
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return {field.name: marked(value.get(field.name), field.type) for field in fields}
    return value


def _mark(path: str | None) -> dict[str, Any]:
    return {"path": path, "bytes": True}
