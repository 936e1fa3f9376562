"""`python -m ops.generate`: bring the generated files of ops/ up to date."""

from ops.generate.files import write

for changed in write():
    print(f"wrote {changed}")  # noqa: T201
