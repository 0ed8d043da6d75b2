"""Prints minimum, lower decile and median of criterion's raw samples; argument: the `target/criterion` directory."""
import json
import pathlib
import sys

for path in sorted(pathlib.Path(sys.argv[1]).rglob("new/sample.json")):
    sample = json.loads(path.read_text())
    name = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
    times = sorted(time / count for time, count in zip(sample["times"], sample["iters"]))
    print(f"{name:52} {times[0]:9.1f} {times[len(times) // 10]:9.1f} {times[len(times) // 2]:9.1f} ns")
