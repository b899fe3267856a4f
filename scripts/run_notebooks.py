"""Run the notebooks of the examples from top to bottom, and store their outputs in them.

    python scripts/run_notebooks.py [NOTEBOOK ...]

They are changed in place. Do this after editing one, so that a reader sees its current output. The numbers
belong to the lecture's list of names: have it as examples/names.txt. Needs `pip install -e ".[test]"`.
"""

import argparse
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(notebook: Any, folder: Path) -> None:
    """Run the cells in a kernel of their own that works in `folder`; CellExecutionError at one that fails.

    Times and versions of Python are not stored, since they would change from run to run, or between machines.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.clear()
    NotebookClient(
        notebook,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )


def main() -> None:
    """Run the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description="Run notebooks, and keep what they show.")
    parser.add_argument("notebooks", type=Path, nargs="*", help="default: all in examples/")
    parser.add_argument("--folder", type=Path, help="where they run; default: where each lies")
    parser.add_argument("--out", type=Path, help="a folder for the notebooks that ran; default: in place")
    arguments = parser.parse_args()
    for path in arguments.notebooks or sorted(EXAMPLES.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        try:
            run(notebook, arguments.folder or path.parent)
        except CellExecutionError as error:
            raise SystemExit(f"{path}: {error}") from None
        nbformat.write(notebook, arguments.out / path.name if arguments.out else path)
        print(path)


if __name__ == "__main__":
    main()
