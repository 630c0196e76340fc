//! Random views within the supported language.

use crate::dice::Dice;
use crate::schema::{Schema, Ty};

/// Something in a FROM.
#[derive(Debug, Clone)]
struct Source {
    alias: String,
    columns: Vec<(String, Ty)>,
    /// How many of the columns are its key; none for a nested query.
    key: usize,
}

type Scopes = Vec<Vec<Source>>;

/// Makes views over a schema.
pub(crate) struct Views<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) schema: &'a Schema,
    /// With expressions that may raise errors, and orders that leave ties.
    pub(crate) wild: bool,
    aliases: usize,
}

impl<'a> Views<'a> {
    pub(crate) fn new(dice: &'a mut Dice, schema: &'a Schema, wild: bool) -> Views<'a> {
        Views {
            dice,
            schema,
            wild,
            aliases: 0,
        }
    }

    /// One view.
    pub(crate) fn view(&mut self) -> String {
        self.aliases = 0;
        match self.dice.range(0, 12) {
            0..=4 => self.document(),
            5..=7 => self.grouped(),
            8 => self.global(),
            9 => self.distinct(),
            10 => self.distinct_on(),
            11 => self.ranked(),
            _ => self.limited(),
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("x{}", self.aliases)
    }

    fn document(&mut self) -> String {
        let joins = self.dice.range(0, 3);
        let (from, sources) = self.from(&Vec::new(), joins, 1);
        let scopes = vec![sources];
        let mut items = Vec::new();
        for i in 0..self.dice.range(2, 5) {
            items.push(format!("{} AS c{i}", self.item(&scopes, 2)));
        }
        let filter = self.filter(&scopes, 2);
        format!("SELECT {} FROM {from}{filter}", items.join(", "))
    }

    fn grouped(&mut self) -> String {
        let joins = self.dice.range(0, 2);
        let (from, sources) = self.from(&Vec::new(), joins, 1);
        let scopes = vec![sources];
        let mut keys = Vec::new();
        for _ in 0..self.dice.range(1, 2) {
            keys.push(self.group_key(&scopes));
        }
        keys.dedup();
        let mut items: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(i, k)| format!("{k} AS g{i}"))
            .collect();
        for i in 0..self.dice.range(1, 3) {
            items.push(format!("{} AS a{i}", self.aggregate(&scopes)));
        }
        let filter = self.filter(&scopes, 1);
        let having = if self.dice.one_in(4) {
            let n = self.dice.range(0, 2);
            let call = self.counting(&scopes);
            format!(" HAVING {call} > {n}")
        } else {
            String::new()
        };
        format!(
            "SELECT {} FROM {from}{filter} GROUP BY {}{having}",
            items.join(", "),
            keys.join(", ")
        )
    }

    fn global(&mut self) -> String {
        let joins = self.dice.range(0, 2);
        let (from, sources) = self.from(&Vec::new(), joins, 1);
        let scopes = vec![sources];
        let items: Vec<String> = (0..self.dice.range(1, 3))
            .map(|i| format!("{} AS a{i}", self.aggregate(&scopes)))
            .collect();
        let filter = self.filter(&scopes, 1);
        format!("SELECT {} FROM {from}{filter}", items.join(", "))
    }

    fn distinct(&mut self) -> String {
        let joins = self.dice.range(0, 2);
        let (from, sources) = self.from(&Vec::new(), joins, 0);
        let scopes = vec![sources];
        let items: Vec<String> = (0..self.dice.range(1, 2))
            .map(|i| format!("{} AS c{i}", self.group_key(&scopes)))
            .collect();
        let filter = self.filter(&scopes, 1);
        format!("SELECT DISTINCT {} FROM {from}{filter}", items.join(", "))
    }

    fn distinct_on(&mut self) -> String {
        let joins = self.dice.range(0, 1);
        let (from, sources) = self.from(&Vec::new(), joins, 0);
        let scopes = vec![sources];
        let on = self.group_key(&scopes);
        let ty = *self.dice.pick(Ty::ORDERED);
        let by = self.scalar(ty, &scopes, 0);
        let shown = self.item(&scopes, 0);
        let filter = self.filter(&scopes, 0);
        let order = self.order(&scopes, &format!("{on}, {by}"));
        format!(
            "SELECT DISTINCT ON ({on}) {on} AS g, {shown} AS c0 FROM {from}{filter} ORDER BY {order}"
        )
    }

    /// Rows, groups or rows beside others, with their rank, or the first of them.
    fn ranked(&mut self) -> String {
        let function = self
            .dice
            .weighted(&[(3, "row_number"), (1, "rank"), (1, "dense_rank")]);
        let (from, filter, scopes, items) = if self.dice.one_in(3) {
            let (from, source) = self.grouped_table();
            let item = format!("{}.m AS c0", source.alias);
            (from, String::new(), vec![vec![source]], item)
        } else {
            let joins = self.dice.range(0, 1);
            let (from, sources) = self.from(&Vec::new(), joins, 1);
            let scopes = vec![sources];
            let item = format!("{} AS c0", self.item(&scopes, 0));
            (from, self.filter(&scopes, 1), scopes, item)
        };
        let by = self.group_key(&scopes);
        let order = if function == "row_number" {
            self.order(&scopes, &by)
        } else {
            by
        };
        let partition = if self.dice.one_in(4) {
            String::new()
        } else {
            format!("PARTITION BY {} ", self.group_key(&scopes))
        };
        let inner = format!(
            "SELECT {items}, {function}() OVER ({partition}ORDER BY {order}) AS n FROM {from}{filter}"
        );
        let n = self.dice.range(1, 3);
        match self.dice.range(0, 3) {
            0 => inner,
            1 => format!("SELECT c0 FROM ({inner}) r WHERE n = 1"),
            2 => format!("SELECT c0, n FROM ({inner}) r WHERE n <= {n}"),
            _ => format!(
                "SELECT count(*) AS k, max(n) AS m FROM ({inner}) r WHERE n < {}",
                n + 1
            ),
        }
    }

    fn limited(&mut self) -> String {
        let limit = self.dice.range(1, 3);
        if self.dice.one_in(3) {
            let grouped = self.grouped();
            return format!("{grouped} ORDER BY a0, g0 LIMIT {limit}");
        }
        let joins = self.dice.range(0, 1);
        let (from, sources) = self.from(&Vec::new(), joins, 0);
        let scopes = vec![sources];
        let ty = *self.dice.pick(Ty::ORDERED);
        let by = self.scalar(ty, &scopes, 0);
        let items: Vec<String> = (0..2)
            .map(|i| format!("{} AS c{i}", self.item(&scopes, 1)))
            .collect();
        let filter = self.filter(&scopes, 0);
        let order = self.order(&scopes, &by);
        format!(
            "SELECT {} FROM {from}{filter} ORDER BY {order} LIMIT {limit}",
            items.join(", ")
        )
    }

    /// Sort keys that leave no ties (if the view is not wild).
    fn order(&mut self, scopes: &Scopes, first: &str) -> String {
        let mut keys = vec![first.to_owned()];
        if self.dice.one_in(3) {
            keys[0].push_str(
                self.dice
                    .one(&[" DESC", " DESC NULLS LAST", " NULLS FIRST", " ASC"]),
            );
        }
        if !(self.wild && self.dice.one_in(3)) {
            for source in scopes.last().into_iter().flatten() {
                let key = if source.key > 0 {
                    &source.columns[..source.key]
                } else {
                    &source.columns[..]
                };
                keys.extend(
                    key.iter()
                        .map(|(name, _)| format!("{}.{name}", source.alias)),
                );
            }
        }
        keys.join(", ")
    }

    fn filter(&mut self, scopes: &Scopes, depth: usize) -> String {
        match self.dice.range(0, 4) {
            0 | 1 => String::new(),
            2 | 3 => format!(" WHERE {}", self.condition(scopes, depth)),
            _ => format!(
                " WHERE {} AND {}",
                self.condition(scopes, depth),
                self.condition(scopes, 0)
            ),
        }
    }

    /// A FROM and what it brings.
    fn from(&mut self, outer: &Scopes, joins: usize, depth: usize) -> (String, Vec<Source>) {
        let (mut text, first) = self.table();
        let mut sources = vec![first];
        for _ in 0..joins {
            let kind = self
                .dice
                .weighted(&[(4, "JOIN"), (5, "LEFT JOIN"), (1, "RIGHT JOIN")]);
            match self.dice.range(0, 9) {
                0 if depth > 0 => {
                    let (inner, source) = self.grouped_table();
                    let on = self.on(&sources, &source);
                    text = format!(
                        "{text} {} {inner} ON {on}",
                        if kind == "RIGHT JOIN" { "JOIN" } else { kind }
                    );
                    sources.push(source);
                }
                1 if depth > 0 && kind != "RIGHT JOIN" => {
                    let mut scopes = outer.clone();
                    scopes.push(sources.clone());
                    let (inner, source) = self.lateral(&scopes);
                    text = format!("{text} {kind} LATERAL {inner} ON true");
                    sources.push(source);
                }
                2 => {
                    let (left, a) = self.table();
                    let (right, b) = self.table();
                    let inner = self.dice.weighted(&[(1, "JOIN"), (1, "LEFT JOIN")]);
                    let on_inner = self.on(std::slice::from_ref(&a), &b);
                    let on = self.on(&sources, &a);
                    text = format!("{text} {kind} ({left} {inner} {right} ON {on_inner}) ON {on}");
                    sources.push(a);
                    sources.push(b);
                }
                _ => {
                    let (table, source) = self.table();
                    let on = self.on(&sources, &source);
                    text = format!("{text} {kind} {table} ON {on}");
                    sources.push(source);
                }
            }
        }
        (text, sources)
    }

    fn table(&mut self) -> (String, Source) {
        let alias = self.alias();
        let table = self.dice.pick(&self.schema.tables);
        let columns = table
            .columns
            .iter()
            .map(|c| (c.name.clone(), c.ty))
            .collect();
        (
            format!("{} {alias}", table.name),
            Source {
                alias,
                columns,
                key: table.key,
            },
        )
    }

    /// A derived table that groups.
    fn grouped_table(&mut self) -> (String, Source) {
        let (table, source) = self.table();
        let (key, key_ty) = self.dice.pick(&source.columns).clone();
        let (other, other_ty) = self.dice.pick(&source.columns).clone();
        let inner = &source.alias;
        let alias = self.alias();
        let (max, max_ty) = match other_ty {
            Ty::Bool => ("bool_or", Ty::Bool),
            Ty::Json => ("count", Ty::Long),
            Ty::Dose => ("max", Ty::Number),
            ty => ("max", ty),
        };
        let text = format!(
            "(SELECT {inner}.{key} AS g, count(*) AS n, {max}({inner}.{other}) AS m FROM {table} GROUP BY {inner}.{key}) {alias}"
        );
        let columns = vec![
            ("g".to_owned(), key_ty),
            ("n".to_owned(), Ty::Long),
            ("m".to_owned(), max_ty),
        ];
        (
            text,
            Source {
                alias,
                columns,
                key: 1,
            },
        )
    }

    /// A lateral subquery of one row.
    fn lateral(&mut self, scopes: &Scopes) -> (String, Source) {
        let (table, source) = self.table();
        let alias = self.alias();
        let mut inner = scopes.clone();
        inner.push(vec![source.clone()]);
        let tie = self.tie(&inner);
        if self.dice.one_in(2) {
            let (a, a_ty) = self.dice.pick(&source.columns).clone();
            let (b, b_ty) = self.dice.pick(&source.columns).clone();
            let x = &source.alias;
            let order = self.order(&inner, &format!("{x}.{b}"));
            let text = format!(
                "(SELECT {x}.{a} AS p, {x}.{b} AS q FROM {table} WHERE {tie} ORDER BY {order} LIMIT 1) {alias}"
            );
            return (
                text,
                Source {
                    alias,
                    columns: vec![("p".to_owned(), a_ty), ("q".to_owned(), b_ty)],
                    key: 0,
                },
            );
        }
        if self.dice.one_in(3) {
            let x = &source.alias;
            let mut columns = source.columns[..source.key].to_vec();
            columns.push(self.dice.pick(&source.columns[source.key..]).clone());
            let shown: Vec<String> = columns
                .iter()
                .map(|(name, _)| format!("{x}.{name}"))
                .collect();
            let by = self.group_key(&inner[inner.len() - 1..].to_vec());
            let order = self.order(&inner, &by);
            let limit = self.dice.range(2, 3);
            let text = format!(
                "(SELECT {} FROM {table} WHERE {tie} ORDER BY {order} LIMIT {limit}) {alias}",
                shown.join(", ")
            );
            let key = source.key;
            return (
                text,
                Source {
                    alias,
                    columns,
                    key,
                },
            );
        }
        let (call, ty) = self.number_aggregate(&inner[inner.len() - 1..].to_vec());
        let text = format!("(SELECT count(*) AS n, {call} AS s FROM {table} WHERE {tie}) {alias}");
        (
            text,
            Source {
                alias,
                columns: vec![("n".to_owned(), Ty::Long), ("s".to_owned(), ty)],
                key: 0,
            },
        )
    }

    /// What joins a source to those before it.
    fn on(&mut self, before: &[Source], new: &Source) -> String {
        let mut parts = Vec::new();
        let whole_key = new.key > 0 && !self.dice.one_in(3);
        if whole_key {
            for (name, ty) in &new.columns[..new.key] {
                if let Some(other) = self.column(*ty, &vec![before.to_vec()]) {
                    parts.push(format!("{}.{name} = {other}", new.alias));
                }
            }
        }
        if parts.is_empty() {
            let mut tried = 0;
            while parts.is_empty() && tried < 20 {
                tried += 1;
                let (name, ty) = self.dice.pick(&new.columns).clone();
                if ty == Ty::Bool {
                    continue;
                }
                if let Some(other) = self.column(ty, &vec![before.to_vec()]) {
                    parts.push(format!("{other} = {}.{name}", new.alias));
                }
            }
        }
        if parts.is_empty() {
            return "true".to_owned();
        }
        if self.dice.one_in(5) {
            let mut all = before.to_vec();
            all.push(new.clone());
            parts.push(self.condition(&vec![all], 0));
        }
        parts.join(" AND ")
    }

    /// What ties the innermost scope to one around it.
    fn tie(&mut self, scopes: &Scopes) -> String {
        let inner = scopes.last().cloned().unwrap_or_default();
        let around: Scopes = scopes[..scopes.len() - 1].to_vec();
        for _ in 0..20 {
            let source = self.dice.pick(&inner).clone();
            let (name, ty) = self.dice.pick(&source.columns).clone();
            if ty == Ty::Bool {
                continue;
            }
            if let Some(other) = self.column(ty, &around) {
                let operator = self.dice.weighted(&[(8, "="), (1, ">="), (1, "<>")]);
                return format!("{}.{name} {operator} {other}", source.alias);
            }
        }
        "true".to_owned()
    }

    /// A column of a type, of the innermost scope mostly.
    fn column(&mut self, ty: Ty, scopes: &Scopes) -> Option<String> {
        let fits = |other: Ty| {
            other == ty || matches!((ty, other), (Ty::Int, Ty::Long) | (Ty::Long, Ty::Int))
        };
        let list = |scope: &Vec<Source>| -> Vec<String> {
            scope
                .iter()
                .flat_map(|s| {
                    s.columns
                        .iter()
                        .filter(|(_, t)| fits(*t))
                        .map(|(n, _)| format!("{}.{n}", s.alias))
                })
                .collect()
        };
        let innermost = scopes.last().map(list).unwrap_or_default();
        let all: Vec<String> = scopes.iter().flat_map(list).collect();
        if !innermost.is_empty() && !self.dice.one_in(6) {
            return Some(self.dice.pick(&innermost).clone());
        }
        (!all.is_empty()).then(|| self.dice.pick(&all).clone())
    }

    fn literal(&mut self, ty: Ty) -> String {
        let value = ty.value(self.dice, self.schema.plain);
        match ty {
            Ty::Int => value.to_owned(),
            Ty::Long => format!("{value}::bigint"),
            Ty::Text => format!("'{value}'::text"),
            Ty::Number => format!("{value}::numeric"),
            Ty::Float => format!("'{value}'::float8"),
            Ty::Bool => if value == "t" { "true" } else { "false" }.to_owned(),
            Ty::Time => format!("timestamp '{value}'"),
            Ty::Blank | Ty::Span | Ty::List | Ty::Mood | Ty::Dose | Ty::Json => {
                format!("'{value}'::{}", ty.sql())
            }
        }
    }

    fn group_key(&mut self, scopes: &Scopes) -> String {
        let ty = *self.dice.pick(Ty::ORDERED);
        match self.dice.range(0, 3) {
            0 => self.scalar(ty, scopes, 0),
            _ => self.column(ty, scopes).unwrap_or_else(|| {
                let source = &scopes[scopes.len() - 1][0];
                format!("{}.{}", source.alias, source.columns[0].0)
            }),
        }
    }

    /// A value.
    fn scalar(&mut self, ty: Ty, scopes: &Scopes, depth: usize) -> String {
        let plain = self.column(ty, scopes).unwrap_or_else(|| self.literal(ty));
        if self.dice.one_in(2) {
            return plain;
        }
        if depth > 0 && self.dice.one_in(4) {
            return self.scalar_subquery(ty, scopes, depth - 1);
        }
        match (ty, self.dice.range(0, 3)) {
            (_, 0) => {
                let literal = self.literal(ty);
                format!("coalesce({plain}, {literal})")
            }
            (_, 1) => {
                let condition = self.condition(scopes, 0);
                let other = self.scalar(ty, scopes, 0);
                format!("CASE WHEN {condition} THEN {plain} ELSE {other} END")
            }
            (Ty::Int | Ty::Long, 2) if self.wild => {
                let divisor = self
                    .column(Ty::Int, scopes)
                    .unwrap_or_else(|| "0".to_owned());
                format!("({plain} / {divisor})")
            }
            (Ty::Int | Ty::Long | Ty::Number | Ty::Float, _) => {
                let other = self.literal(ty);
                format!("({plain} {} {other})", self.dice.one(&["+", "-", "*"]))
            }
            (Ty::Text, 2) => format!("upper({plain})"),
            (Ty::Text, _) => {
                let other = self
                    .column(Ty::Text, scopes)
                    .unwrap_or_else(|| "'z'".to_owned());
                format!("({plain} || {other})")
            }
            (Ty::Bool, _) => self.condition(scopes, depth),
            (Ty::Time, _) => format!("date_trunc('day', {plain})"),
            (Ty::Span, _) => format!("({plain} + interval '90 minutes')"),
            (Ty::List, _) => format!("({plain} || 2)"),
            (Ty::Json, 2) => format!("({plain} -> 'a')"),
            (Ty::Json, _) => format!("to_jsonb({plain})"),
            (Ty::Blank | Ty::Mood | Ty::Dose, _) => {
                let other = self.column(ty, scopes).unwrap_or_else(|| self.literal(ty));
                format!("greatest({plain}, {other})")
            }
        }
    }

    /// A condition.
    fn condition(&mut self, scopes: &Scopes, depth: usize) -> String {
        match self.dice.range(0, 10) {
            0 => match self.column(Ty::Bool, scopes) {
                Some(column) => column,
                None => "true".to_owned(),
            },
            1 => {
                let ty = *self.dice.pick(&Ty::ALL);
                let value = self.scalar(ty, scopes, 0);
                format!("({value} IS {}NULL)", self.dice.one(&["", "NOT "]))
            }
            2 => format!(
                "({} OR {})",
                self.condition(scopes, depth),
                self.condition(scopes, 0)
            ),
            3 => format!("NOT ({})", self.condition(scopes, depth)),
            4 => {
                let ty = self.dice.weighted(&[(2, Ty::Int), (1, Ty::Text)]);
                let value = self.scalar(ty, scopes, 0);
                let list = [self.literal(ty), self.literal(ty)].join(", ");
                format!("({value} {}IN ({list}))", self.dice.one(&["", "NOT "]))
            }
            5 | 6 if depth > 0 => {
                let (from, inner) = self.inner_from(scopes);
                let filter = self.tied_filter(&inner, depth - 1);
                format!(
                    "{}EXISTS (SELECT 1 FROM {from}{filter})",
                    self.dice.one(&["", "NOT "])
                )
            }
            7 if depth > 0 => {
                let ty = self
                    .dice
                    .weighted(&[(3, Ty::Int), (1, Ty::Text), (1, Ty::Number)]);
                let value = self.scalar(ty, scopes, 0);
                let (from, inner) = self.inner_from(scopes);
                let shown = self.scalar(ty, &inner, 0);
                let filter = if self.dice.one_in(2) {
                    self.tied_filter(&inner, 0)
                } else {
                    String::new()
                };
                format!(
                    "({value} {}IN (SELECT {shown} FROM {from}{filter}))",
                    self.dice.one(&["", "NOT "])
                )
            }
            _ => {
                let ty = *self.dice.pick(&Ty::ALL);
                let left = self.scalar(ty, scopes, 0);
                let right = self.scalar(ty, scopes, depth.min(1));
                let operators = match ty {
                    Ty::Json => ["=", "<>", "@>", "IS DISTINCT FROM"],
                    _ => ["=", "<>", self.dice.one(&["<", ">="]), "IS DISTINCT FROM"],
                };
                format!("({left} {} {right})", self.dice.one(&operators))
            }
        }
    }

    /// A FROM inside of these scopes, and the scopes with it.
    fn inner_from(&mut self, scopes: &Scopes) -> (String, Scopes) {
        let joins = self.dice.weighted(&[(3, 0), (2, 1)]);
        let (from, sources) = self.from(scopes, joins, 0);
        let mut inner = scopes.clone();
        inner.push(sources);
        (from, inner)
    }

    fn tied_filter(&mut self, inner: &Scopes, depth: usize) -> String {
        let mut parts = Vec::new();
        if !self.dice.one_in(8) {
            parts.push(self.tie(inner));
        }
        if self.dice.one_in(3) {
            parts.push(self.condition(inner, depth));
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", parts.join(" AND "))
        }
    }

    fn scalar_subquery(&mut self, ty: Ty, scopes: &Scopes, depth: usize) -> String {
        let (from, inner) = self.inner_from(scopes);
        let filter = self.tied_filter(&inner, depth);
        if self.dice.one_in(3) {
            let shown = self.scalar(ty, &inner, 0);
            let by = self.group_key(&inner);
            let order = self.order(&inner, &by);
            return format!("(SELECT {shown} FROM {from}{filter} ORDER BY {order} LIMIT 1)");
        }
        // An aggregate over nothing but outer columns belongs to the outer query.
        let own = inner[inner.len() - 1..].to_vec();
        let arg = self.scalar(ty, &own, 0);
        let call = match ty {
            Ty::Int => format!("{}({arg})", self.dice.one(&["min", "max", "max", "min"])),
            Ty::Long if self.dice.one_in(2) => self.counting(&own),
            Ty::Long => format!("sum(({arg})::int)"),
            Ty::Text => {
                let order = self.order(&inner, &arg);
                format!("string_agg({arg}, ',' ORDER BY {order})")
            }
            Ty::Number | Ty::Float => {
                format!("{}({arg})", self.dice.one(&["sum", "avg", "min", "max"]))
            }
            Ty::Bool => format!("{}({arg})", self.dice.one(&["bool_and", "bool_or"])),
            Ty::Time | Ty::Blank | Ty::List | Ty::Mood | Ty::Dose => {
                format!("{}({arg})", self.dice.one(&["min", "max"]))
            }
            Ty::Span => format!("{}({arg})", self.dice.one(&["sum", "avg", "min", "max"])),
            Ty::Json => {
                let by = self.group_key(&inner);
                format!("jsonb_agg({arg} ORDER BY {})", self.order(&inner, &by))
            }
        };
        format!("(SELECT {call} FROM {from}{filter})")
    }

    fn counting(&mut self, scopes: &Scopes) -> String {
        let ty = *self.dice.pick(&Ty::ALL);
        match self.dice.range(0, 2) {
            0 => "count(*)".to_owned(),
            1 => format!("count({})", self.scalar(ty, scopes, 0)),
            _ => format!("count(DISTINCT {})", self.scalar(ty, scopes, 0)),
        }
    }

    fn number_aggregate(&mut self, scopes: &Scopes) -> (String, Ty) {
        let ty = self
            .dice
            .weighted(&[(1, Ty::Int), (1, Ty::Number), (1, Ty::Float)]);
        let arg = self.scalar(ty, scopes, 0);
        let out = if ty == Ty::Int { Ty::Long } else { ty };
        (format!("sum({arg})"), out)
    }

    fn aggregate(&mut self, scopes: &Scopes) -> String {
        let ty = *self.dice.pick(&Ty::ALL);
        let mut call = match self.dice.range(0, 9) {
            0 | 1 => self.counting(scopes),
            2 => self.number_aggregate(scopes).0,
            3 => format!("avg({})", self.scalar(Ty::Number, scopes, 0)),
            4 | 5 if !matches!(ty, Ty::Bool | Ty::Json) => format!(
                "{}({})",
                self.dice.one(&["min", "max"]),
                self.scalar(ty, scopes, 0)
            ),
            6 => format!("bool_or({})", self.condition(scopes, 0)),
            7 => {
                let arg = self.scalar(Ty::Text, scopes, 0);
                let by = self.group_key(scopes);
                format!(
                    "string_agg({arg}, '-' ORDER BY {})",
                    self.order(scopes, &by)
                )
            }
            8 => format!("sum(DISTINCT {})", self.scalar(Ty::Number, scopes, 0)),
            _ => {
                let arg = self.scalar(ty, scopes, 0);
                let by = self.group_key(scopes);
                format!(
                    "{}({arg} ORDER BY {})",
                    self.dice.one(&["array_agg", "jsonb_agg"]),
                    self.order(scopes, &by)
                )
            }
        };
        if self.dice.one_in(4) {
            call = format!("{call} FILTER (WHERE {})", self.condition(scopes, 0));
        }
        if self.dice.one_in(6) && call.starts_with("count(*)") {
            call = format!("{call} + 1");
        }
        call
    }

    /// An item of a document's select list.
    fn item(&mut self, scopes: &Scopes, depth: usize) -> String {
        let ty = *self.dice.pick(&Ty::ALL);
        if depth == 0 {
            return self.scalar(ty, scopes, 0);
        }
        match self.dice.range(0, 9) {
            0 | 1 => {
                let (from, inner) = self.inner_from(scopes);
                let filter = self.tied_filter(&inner, depth - 1);
                let shown = self.scalar(ty, &inner, depth - 1);
                let by = self.group_key(&inner);
                let order = self.order(&inner, &by);
                let limit = if self.dice.one_in(4) {
                    format!(" LIMIT {}", self.dice.range(1, 3))
                } else {
                    String::new()
                };
                format!("ARRAY(SELECT {shown} FROM {from}{filter} ORDER BY {order}{limit})")
            }
            2 | 3 => {
                let (from, inner) = self.inner_from(scopes);
                let filter = self.tied_filter(&inner, depth - 1);
                let first = self.scalar(ty, &inner, 0);
                let second = self.item(&inner, depth - 1);
                let by = self.group_key(&inner);
                let order = self.order(&inner, &by);
                let coalesce = self.dice.one_in(3);
                let text = format!(
                    "(SELECT jsonb_agg(jsonb_build_object('p', {first}, 'q', {second}) ORDER BY {order}) FROM {from}{filter})"
                );
                if coalesce {
                    format!("coalesce({text}, '[]'::jsonb)")
                } else {
                    text
                }
            }
            4 | 5 => self.scalar_subquery(ty, scopes, depth - 1),
            6 => self.condition(scopes, depth),
            _ => self.scalar(ty, scopes, depth),
        }
    }
}
