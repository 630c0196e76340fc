"""Every operator and cast over a few values of every type."""
import itertools
import random

VALUES = {
    "int2": ["'7'::int2", "'-32768'::int2", "'0'::int2", "NULL::int2"],
    "int4": ["7", "-2147483648", "0", "'-3'::int4", "NULL::int4"],
    "int8": ["'9223372036854775807'::int8", "'-9223372036854775808'::int8", "'12'::int8"],
    "numeric": ["1.50", "'-0.0007'::numeric", "'NaN'::numeric", "'Infinity'::numeric", "12345678901234567890.12345", "3::numeric", "0.00"],
    "float4": ["'0.1'::float4", "'3.4e38'::float4", "'NaN'::float4", "'-2.5'::float4"],
    "float8": ["'0.1'::float8", "'1e308'::float8", "'-Infinity'::float8", "'2.5'::float8", "'-0'::float8", "'1e-320'::float8"],
    "text": ["'abc'::text", "''::text", "'12'::text", "'Éa_%'::text"],
    "varchar": ["'abc'::varchar", "'ab '::varchar(5)"],
    "bpchar": ["'ab'::char(4)", "'abc'::char(3)"],
    "bool": ["true", "false", "NULL::bool"],
    "date": ["'2024-02-29'::date", "'0044-03-15 BC'::date", "'infinity'::date"],
    "time": ["'12:34:56.789'::time", "'24:00:00'::time"],
    "timestamp": ["'2024-01-31 10:00:00.12'::timestamp", "'-infinity'::timestamp"],
    "timestamptz": ["'2024-03-31 00:30+00'::timestamptz", "'2024-01-31 23:59:59.999999-05'::timestamptz"],
    "interval": ["'1 mon -1 day +02:03:04.5'::interval", "'30 days'::interval", "'-1 year'::interval"],
    "uuid": ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid"],
    "bytea": ["'\\x00ff'::bytea", "''::bytea"],
    "json": ["'{\"b\":1, \"a\":1.0}'::json", "'null'::json"],
    "jsonb": ["'{\"b\":1, \"a\":[1.0,2]}'::jsonb", "'[1,\"a\",null]'::jsonb", "'12.5'::jsonb", "'\"x\"'::jsonb", "'null'::jsonb", "'true'::jsonb"],
    "size": ["'medium'::size", "'large'::size"],
    "int4[]": ["'{1,NULL,3}'::int4[]", "'{}'::int4[]", "'{7}'::int4[]"],
    "text[]": ["'{a,NULL,abc}'::text[]", "'{x}'::text[]"],
    "record": ["ROW(1,'a')"],
    "unknown": ["'5'", "NULL"],
}
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]
ARITHMETIC = ["+", "-", "*", "/", "%"]
OTHERS = ["||", "&", "|", "#", "<<", ">>", "->", "->>", "@>", "<@", "?", "&&", "^"]
PREFIX = ["-", "+", "@", "~", "|/"]
TYPES = ["int2", "int4", "int8", "numeric", "numeric(6,2)", "numeric(3)", "float4", "float8", "text", "varchar", "varchar(3)", "char(3)", "bpchar", "name",
         "bool", "date", "time", "time(1)", "timestamp", "timestamp(0)", "timestamptz", "interval", "interval(0)", "uuid", "bytea", "json", "jsonb", "size", "int4[]", "text[]",
         "int8[]", "numeric[]"]
FUNCTIONS1 = ["lower", "upper", "initcap", "length", "char_length", "octet_length", "bit_length", "reverse", "btrim", "ltrim", "rtrim", "ascii", "md5",
              "abs", "ceil", "ceiling", "floor", "round", "trunc", "sign", "sqrt", "exp", "ln", "log", "degrees", "radians", "to_jsonb", "to_json", "concat",
              "jsonb_typeof", "json_typeof", "jsonb_array_length", "jsonb_strip_nulls", "cardinality", "array_ndims", "isfinite", "justify_days", "justify_hours",
              "justify_interval", "row_to_json", "to_hex", "quote_literal", "quote_ident", "quote_nullable", "scale", "min_scale", "trim_scale", "to_timestamp", "chr",
              "jsonb_build_array", "json_build_array", "array_to_json", "factorial", "text", "int4", "date", "jsonb_object"]
FUNCTIONS2 = ["mod", "div", "power", "pow", "round", "trunc", "left", "right", "repeat", "lpad", "rpad", "strpos", "starts_with", "substr", "substring", "btrim",
              "array_append", "array_prepend", "array_cat", "array_position", "array_positions", "array_remove", "array_to_string", "string_to_array", "array_length",
              "array_upper", "array_lower", "age", "concat", "concat_ws", "format", "jsonb_build_object", "json_build_object", "coalesce", "nullif", "greatest", "least",
              "gcd", "lcm", "atan2", "jsonb_exists", "jsonb_contains", "trim_array", "jsonb_extract_path", "jsonb_extract_path_text", "json_object", "encode", "decode"]


def all():
    r = random.Random(7)
    out = []
    kinds = list(VALUES)
    for a, b in itertools.product(kinds, kinds):
        for op in COMPARISONS:
            if a == b or r.random() < 0.35:
                out.append(f"{r.choice(VALUES[a])} {op} {r.choice(VALUES[b])}")
        for op in ARITHMETIC:
            out.append(f"{r.choice(VALUES[a])} {op} ({r.choice(VALUES[b])})")
        for op in OTHERS:
            if r.random() < 0.4:
                out.append(f"{r.choice(VALUES[a])} {op} {r.choice(VALUES[b])}")
        if a == b or r.random() < 0.5:
            out.append(f"{r.choice(VALUES[a])} IS DISTINCT FROM {r.choice(VALUES[b])}")
            out.append(f"CASE WHEN {r.choice(['true', 'false'])} THEN {r.choice(VALUES[a])} ELSE {r.choice(VALUES[b])} END")
            out.append(f"ARRAY[{r.choice(VALUES[a])}, {r.choice(VALUES[b])}]")
            out.append(f"{r.choice(VALUES[a])} IN ({r.choice(VALUES[b])}, {r.choice(VALUES[a])})")
            out.append(f"{r.choice(VALUES[a])} = ANY(ARRAY[{r.choice(VALUES[b])}])")
        for f in FUNCTIONS2:
            if r.random() < 0.12:
                out.append(f"{f}({r.choice(VALUES[a])}, {r.choice(VALUES[b])})")
    for a in kinds:
        for v in VALUES[a]:
            for t in TYPES:
                out.append(f"({v})::{t}")
            for f in FUNCTIONS1:
                out.append(f"{f}({v})")
            for op in PREFIX:
                out.append(f"{op} ({v})")
            out.append(f"({v}) IS NULL")
            out.append(f"jsonb_build_object('k', {v})")
            out.append(f"json_build_object('k', {v}, 'a', {v})")
            out.append(f"({v})::text::{a if a not in ('record', 'unknown') else 'text'}")
    # The same arithmetic on random numbers.
    def number():
        k = r.randrange(5)
        if k == 0:
            return str(r.choice([0, 1, 2, 3, 7, 10, 100, 32767, 2147483647, r.randrange(10**6)]))
        if k == 1:
            return f"'-{r.randrange(1, 10**9)}'::int8"
        if k == 2:
            return f"{r.randrange(10**r.randrange(1, 12))}.{r.randrange(10**6):0{r.randrange(1, 9)}d}"
        if k == 3:
            return f"'{r.uniform(-1e6, 1e6)!r}'::float8"
        return f"'{r.randrange(-999, 999)}.{r.randrange(1000)}'::numeric(10,{r.randrange(4)})"
    for _ in range(500):
        out.append(f"{number()} {r.choice(ARITHMETIC)} ({number()})")
    for _ in range(60):
        out.append(f"round({number()}, {r.randrange(-4, 8)})")
        out.append(f"power({number()}, {r.choice([0, 1, 2, 3, 0.5, -1])})")
        out.append(f"width_bucket({number()}, {number()}, {number()}, {r.randrange(0, 20)})")
    # Dates.
    def date():
        return f"'{r.randrange(1, 9999):04d}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}'::date"
    def stamp(t="timestamp"):
        return f"'{r.randrange(1900, 2100):04d}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d} {r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}.{r.randrange(10**6):06d}'::{t}"
    def interval():
        return f"'{r.randrange(-30, 30)} mons {r.randrange(-99, 99)} days {r.randrange(-99999, 99999)}.{r.randrange(1000):03d} secs'::interval"
    fields = ["microseconds", "milliseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century", "millennium", "dow", "isodow",
              "doy", "isoyear", "epoch", "julian", "timezone", "timezone_hour"]
    for f in fields:
        for v in [date(), stamp(), stamp("timestamptz"), interval(), "'12:34:56.789'::time", "'infinity'::timestamp", "'infinity'::date"]:
            out.append(f"extract({f} from {v})")
            out.append(f"date_part('{f}', {v})")
            out.append(f"date_trunc('{f}', {v})")
    zones = ["Europe/Paris", "America/New_York", "UTC", "Asia/Kolkata", "PST", "+03", "Australia/Lord_Howe", "nowhere"]
    for _ in range(60):
        out.append(f"{stamp()} AT TIME ZONE '{r.choice(zones)}'")
        out.append(f"{stamp('timestamptz')} AT TIME ZONE '{r.choice(zones)}'")
        out.append(f"{stamp()} {r.choice('+-')} {interval()}")
        out.append(f"{date()} {r.choice('+-')} {interval()}")
        out.append(f"{stamp()} - {stamp()}")
        out.append(f"age({stamp()}, {stamp()})")
        out.append(f"{interval()} * {r.choice(['2', '0.5', '-3', '1.1'])}")
        out.append(f"{interval()} / {r.choice(['2', '0.5', '-3', '7', '0'])}")
        out.append(f"{interval()} {r.choice(['<', '=', '+', '-'])} {interval()}")
        out.append(f"date_trunc('{r.choice(['day', 'week', 'month', 'hour', 'quarter'])}', {stamp('timestamptz')}, '{r.choice(zones)}')")
        out.append(f"date_bin({r.choice(['15 minutes', '1 day', '36 hours'])!r}::interval, {stamp()}, {stamp()})")
        out.append(f"to_timestamp({r.uniform(-1e10, 1e10):.6f})")
        out.append(f"{date()} + {r.randrange(-9999, 9999)}")
        out.append(f"{date()} - {date()}")
        out.append(f"make_date({r.randrange(-50, 3000)}, {r.randrange(0, 14)}, {r.randrange(0, 33)})")
    # Patterns.
    pieces = ["a", "b", "%", "_", "\\", "é", "A", "%%", "x"]
    for _ in range(250):
        s = "".join(r.choice(["a", "b", "é", "A", "x", "%", "_"]) for _ in range(r.randrange(0, 6)))
        p = "".join(r.choice(pieces) for _ in range(r.randrange(0, 6)))
        out.append(f"'{s}'::text COLLATE \"C.utf8\" {r.choice(['LIKE', 'ILIKE', 'NOT LIKE', 'NOT ILIKE'])} '{p}'")
        out.append(f"'{s}' LIKE '{p}' ESCAPE '{r.choice(['x', '', 'b', '%'])}'")
    words = ["", "a", "abc", "a,b,c", ",a,", "héllo wörld", "  x ", "aXbX", "ab" * 5, "O'Neil", "日本語"]
    for _ in range(150):
        w, v, x = (r.choice(words).replace("'", "''") for _ in range(3))
        n, m = r.randrange(-4, 8), r.randrange(-1, 6)
        out += [f"substr('{w}', {n}, {m})", f"left('{w}', {n})", f"right('{w}', {n})", f"split_part('{w}', ',', {n})", f"lpad('{w}', {n}, '{v}')", f"rpad('{w}', {n}, '{v}')",
                f"replace('{w}', '{v}', '{x}')", f"translate('{w}', '{v}', '{x}')", f"strpos('{w}', '{v}')", f"btrim('{w}', '{v}')", f"ltrim('{w}', '{v}')",
                f"string_to_array('{w}', '{v}')", f"starts_with('{w}', '{v}')", f"concat_ws('{v}', '{w}', NULL, {n})", f"overlay('{w}', '{v}', {n}, {m})"]
    # Formats.
    fields = ["YYYY", "YYY", "YY", "Y", "Y,YYY", "IYYY", "IYY", "IY", "I", "MM", "DD", "DDD", "D", "ID", "IDDD", "HH", "HH12", "HH24", "MI", "SS", "MS", "US", "SSSS", "AM", "pm",
              "a.m.", "P.M.", "AD", "b.c.", "MONTH", "Month", "month", "MON", "Mon", "mon", "DAY", "Day", "day", "DY", "Dy", "dy", "RM", "rm", "Q", "WW", "W", "IW", "CC", "J",
              "FMMonth", "FMDD", "FMHH12", "DDth", "DDTH", "FMDDth", "FF3", "FF1", "yyyy", "mm", "dd", "hh24", "mi", "ss", "FMDay"]
    stamps = [stamp() for _ in range(6)] + ["'0044-03-15 BC'::timestamp", "'infinity'::timestamp", "'2024-12-30 00:00'::timestamp", "'12024-01-01 12:00'::timestamp"]
    for f in fields:
        for v in stamps:
            out.append(f"to_char({v}, '{f}')")
    for _ in range(120):
        f = r.choice(["-", "/", " ", ":", ", ", "T", '"of "', "."]).join(r.choice(fields) for _ in range(r.randrange(1, 5)))
        out.append(f"to_char({r.choice([stamp(), date(), stamp('timestamptz')])}, '{f}')")
    for f in ["HH24:MI:SS", "HH24 MI SS.MS", "FMHH24:MI", "MI:SS.US", "DD"]:
        for _ in range(6):
            out.append(f"to_char({interval()}, '{f}')")
    formats = ["9", "999", "0", "000", "990", "9.9", "990.00", "FM990.00", "FM999,999.99", "999,999.99", "9,999.00", "FM9.99", "FM9.0", "S99", "S00", "99S", "FM99S", "99MI", "FM99MI",
               "FM999999999", "99%", "9,99,99", "0,000.0", "FM0,000.0", "\"a\"99", "FM99 \"b\"", "099", "909.9", "FM909.09", "S9.99", "FMS9.99", "99.", "L9", "9D9", "PR9"]
    numbers = ["0", "1", "-1", "0.5", "-0.5", "12.345", "-12.345", "1234.5", "-1234567.891", "0.005", "0.00", "99.995", "1e3", "5.10", "'-0.1'::numeric", "100::int8"]
    for f in formats:
        for n in numbers:
            if r.random() < 0.6:
                out.append(f"to_char({n}, '{f}')")
    # Regular expressions.
    atoms = ["a", "b", ".", "[ab]", "[^a]", "[a-c]", "\\d", "\\.", "(a|b)", "(ab)", "(?:a|bc)", "é", "x", "[0-9-]", "A", "-"]
    texts = ["abc", "aab", "", "a.b", "Äé", "12-34", "ABC", "a" + "b" * 4, "xéx", "a b", "caab1"]
    for _ in range(400):
        p = "".join(r.choice(atoms) + r.choice(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,}"]) for _ in range(r.randrange(1, 4)))
        p = r.choice(["", "", "^"]) + p + r.choice(["", "", "$"]) + r.choice([""] * 5 + ["|b", "|^a"])
        t = r.choice(texts)
        op = r.choice(["~", "~*", "!~", "!~*"])
        out.append(f"'{t}'::text {op} '{p}'")
        flags = r.choice(["", ", 'g'", ", ''"])
        out.append(f"regexp_replace('{t}', '{p}', '_'{flags})")
    for p in ["[^0-9]", "[^a-z]+", "a+", "ab", "^a", "b$", "-", "x*", "[ab]{2}", "a.*", "é"]:
        for t in texts:
            out.append(f"regexp_replace('{t}', '{p}', '#', 'g')")
            out.append(f"regexp_replace('{t}', '{p}', '')")
    # Where only the message differs, or the reader of this fixture would have to know more of the grammar.
    unread = ("- (-2147483648)", "# -2147483648", "age('infinity'")
    out = [e for e in out if not any(u in e for u in unread)]
    return [e for e in out if not (e.startswith("ROW(1,'a') ") and e.endswith(("ROW(1,'a')", "(ROW(1,'a'))")) and e[11] in "+-*/%&|^>#")]
