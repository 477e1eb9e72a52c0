"""Ways to damage an artifact, or to replace it by a valid one of the wrong shape: bytes by name of the damage."""

import io
import json
import pickle
import zipfile

import numpy as np

NOT_UTF8 = b"\xff\xfe\x00caf\xe9\n" * 9
ODD = {"null": None, "list": [], "object": {}, "number": 77, "text": "x", "numbers": [1, 2]}


def of_any_file(content):
    """Damage that any file can have."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "not ours")
    return {
        "empty": b"",
        "half": content[: len(content) // 2],
        "zeros": bytes(5000),
        "not UTF-8": NOT_UTF8,
        "zip": archive.getvalue(),
        "JSON list": b"[]",
    }


def of_json(content):
    """As `of_any_file`, and each value replaced by one of another type or left out."""
    found = of_any_file(content) | {f"is {name}": json.dumps(value).encode() for name, value in ODD.items()}
    found["deep"] = b"[" * 100_000
    about = json.loads(content)
    for outer in [(), *((key,) for key, value in about.items() if isinstance(value, dict))]:
        for key in about[outer[0]] if outer else about:
            for name, value in {**ODD, "absent": ...}.items():
                changed = json.loads(content)
                inner = changed[outer[0]] if outer else changed
                inner[key] = value
                if value is ...:
                    del inner[key]
                found[f"{'.'.join((*outer, key))} {name}"] = json.dumps(changed).encode()
    return found


def of_csv(content, header=True):
    """As `of_any_file`, and each column left out or with another value in its second row."""
    found, lines = of_any_file(content), content.decode().splitlines()
    rows = [line.split(",") for line in lines]
    if header:
        found["header only"] = lines[0].encode() + b"\n"
    found["short row"] = content + b"1\n"
    found["long row"] = content + lines[-1].encode() + b",1,2,3\n"
    found["Latin-1"] = content + lines[-1].replace("a", "\xe9").encode("latin-1") + b"\n"
    found["NUL"] = content + lines[-1].replace("a", "\0").encode() + b"\n"
    for column in range(min(4, len(rows[0]))):
        without = [row[:column] + row[column + 1 :] for row in rows]
        found[f"without column {column}"] = "\n".join(map(",".join, without)).encode()
        for value in ("abc", "77", "", "-1", "9" * 30, "nan", "../../x"):
            changed = [list(row) for row in rows]
            changed[1][column] = value
            found[f"column {column} is {value!r}"] = "\n".join(map(",".join, changed)).encode()
    return found


def _saved(array, save=np.save):
    file = io.BytesIO()
    save(file, array, allow_pickle=True) if save is np.save else save(file, **array)
    return file.getvalue()


def _arrays_like(array):
    """Arrays of another kind, shape or range."""
    found = {
        "as text": array.astype(str),
        "objects": np.full(array.shape, None, dtype=object),
        "more dimensions": array[None],
        "fewer dimensions": np.array(1),
        "empty": array[:0],
        "shorter": array[:-1],
    }
    if array.dtype.kind in "iuf":
        found |= {
            "label 77": np.full_like(array, 77),
            "negative": np.full_like(array, -1),
            "NaN": np.full(array.shape, np.nan),
            "complex": array.astype(complex),
            "bool": array.astype(bool),
        }
    return found


def of_npy(content):
    """As `of_any_file`, and arrays of another kind, shape or range, and one that claims 10**12 frames."""
    array = np.load(io.BytesIO(content))
    header = {"descr": "<f2", "fortran_order": False, "shape": (96, 10**12)}
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, header)
    found = of_any_file(content) | {name: _saved(other) for name, other in _arrays_like(array).items()}
    return found | {"10^12 frames": huge.getvalue() + bytes(999), "npz": _saved({"x": array}, np.savez)}


def of_npz(content):
    """As `of_any_file`, and each array left out, or one of another kind, shape or range."""
    arrays = dict(np.load(io.BytesIO(content)))
    found = of_any_file(content) | {"npy": _saved(np.zeros(3)), "no array": _saved({}, np.savez)}
    for key, array in arrays.items():
        found[f"without {key}"] = _saved({name: arrays[name] for name in arrays if name != key}, np.savez)
        if array.ndim:
            for name, other in _arrays_like(array).items():
                found[f"{key} {name}"] = _saved({**arrays, key: other}, np.savez)
        else:
            found[f"{key} of another kind"] = _saved({**arrays, key: np.zeros((2, 2))}, np.savez)
    return found


def of_pickle(content):
    """As `of_any_file`, and histories that are none."""
    losses = {"texts": ["x"], "huge": [10**400], "NaN": [float("nan")] * 3, "nested": [[1.0]]}
    odd = ODD | {name: {"val_loss": values} for name, values in losses.items()}
    odd["uneven"] = {"val_loss": [1.0, 0.5], "loss": [1.0], "val_categorical_accuracy": []}
    odd["infinite"] = {"val_loss": [1e308, float("inf")], "loss": [-1e308, 1e308], "categorical_accuracy": [1e300] * 2}
    return of_any_file(content) | {name: pickle.dumps(value) for name, value in odd.items()}


def of_model(content):
    """As `of_any_file`, and a network whose description is none."""
    import h5py

    found = of_any_file(content)
    abouts = {name: json.dumps(value) for name, value in ODD.items()} | {"no JSON": "{", "array": [1, 2]}
    for key in ("classes", "spectrogram_settings"):
        abouts |= {f"{key} {name}": json.dumps({key: value}) for name, value in ODD.items()}
    for name, about in abouts.items():
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as model:
            model.attrs["about"] = about
        found[f"about {name}"] = file.getvalue()
    return found
