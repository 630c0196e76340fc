#!/usr/bin/env python3
"""Writes answers.tsv: each expression of expressions.sql and combinations.py with PostgreSQL's type and value.

Usage: answers.py CONNECTION   (a PostgreSQL 15, database with LC_COLLATE and LC_CTYPE C.UTF-8)
"""
import pathlib
import random
import subprocess
import sys

import combinations

here = pathlib.Path(__file__).parent
expressions = [l for l in (here / "expressions.sql").read_text().splitlines() if l.strip() and not l.startswith("--")]
expressions += combinations.all()
expressions = list(dict.fromkeys(expressions))

script = ["\\set ON_ERROR_STOP 0", "\\pset null '∅'", "\\pset tuples_only on", "\\pset format unaligned",
          "SET TimeZone='UTC'; SET DateStyle='ISO, MDY'; SET IntervalStyle=postgres; SET extra_float_digits=3; SET bytea_output=hex;",
          "SET client_min_messages=error; SET standard_conforming_strings=on;",
          "CREATE TYPE pg_temp.size AS ENUM ('small', 'medium', 'large');", "\\echo @start"]
for e in expressions:
    # The subquery keeps the planner from simplifying what evaluation would not reach.
    script += [f"SELECT pg_typeof(v)::text FROM (SELECT {e} AS v OFFSET 0) s;", f"SELECT {e};", "\\echo @end"]
out = subprocess.run(["psql", "-XqA", "--set=VERBOSITY=terse", sys.argv[1]], input="\n".join(script), text=True,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout
blocks = out.split("@start\n", 1)[1].split("@end\n")
lines = []
for e, block in zip(expressions, blocks):
    text = block[:-1] if block.endswith("\n") else block
    if "ERROR:  " in text:
        at = text.index("ERROR:  ")
        message = text[at + 8:].split("\n")[0]
        # psql appends the position of a syntax-time error.
        for tail in [" at character "]:
            if tail in message and message.rsplit(tail, 1)[1].isdigit():
                message = message.rsplit(tail, 1)[0]
        lines.append(f"{e}\t\tERROR: {message}")
        continue
    ty, value = text.split("\n", 1)
    ty = ty.removeprefix("pg_temp_3.").replace("pg_temp.", "")
    if ty.startswith("pg_temp_"):
        ty = ty.split(".", 1)[1]
    value = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    lines.append(f"{e}\t{ty}\t{value}")
# Of the many combinations that have no meaning, a sample.
combined = set(combinations.all())
sample = random.Random(1)
lines = [l for l in lines if "\tERROR: " not in l or l.split("\t")[0] not in combined or "not exist" not in l and "cannot" not in l or sample.random() < 0.08]
(here / "answers.tsv").write_text("\n".join(lines) + "\n")
print(len(lines), "expressions,", sum("\tERROR: " in l for l in lines), "errors")
