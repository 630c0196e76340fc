//! Which names mean what at a place of a query.
//!
//! In: the relations of a FROM clause. Out: the expression that a (qualified) name stands for.
//!
//! Always: as Postgres looks names up: columns level by level outwards, then a relation's name as its whole row.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use readside_expr::{ColumnRef, OccId, Typed};
use readside_plan::AggCall;
use sqlparser::ast::{Cte, Ident};
use sqlparser::tokenizer::Span;

use crate::arena::NamedColumn;
use crate::refusal::{Checked, Problem};

/// What a FROM clause makes visible.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// What `*` shows, and where unqualified names are looked for: columns merged by USING once.
    pub(crate) columns: Vec<NamedColumn>,
    /// What qualified names are looked for in.
    pub(crate) tables: Vec<NamedTable>,
}

/// A relation with its alias.
#[derive(Debug, Clone)]
pub(crate) struct NamedTable {
    pub(crate) alias: String,
    /// The schema, if no alias hides the table's own name.
    pub(crate) schema: Option<String>,
    pub(crate) columns: Vec<NamedColumn>,
    pub(crate) occ: Option<OccId>,
    /// Whether an outer join may leave it without a row.
    pub(crate) nullable: bool,
}

/// What is being bound, for aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// FROM and its ON conditions.
    From,
    /// WHERE.
    Where,
    /// GROUP BY.
    GroupBy,
    /// Select list, HAVING, ORDER BY: what is evaluated after grouping.
    After,
    /// The arguments of an aggregate.
    Aggregate,
}

/// The grouping level of one SELECT.
#[derive(Debug)]
pub(crate) struct Level {
    /// The occurrence that stands for the grouping's result.
    pub(crate) grouping: OccId,
    /// The aggregates met so far, each with the expression type of its result.
    pub(crate) aggregates: RefCell<Vec<AggCall>>,
    /// Where the first aggregate stands.
    pub(crate) first_aggregate: Cell<Option<Span>>,
    pub(crate) place: Cell<Place>,
    /// Columns read after grouping, itself or in a subquery, with the first place of each.
    pub(crate) reads: RefCell<HashMap<(ColumnRef, bool), Span>>,
}

/// Aggregates are columns of the grouping from here on until the number of keys is known.
pub(crate) const FIRST_AGGREGATE: u16 = 1 << 15;

impl Level {
    pub(crate) fn new(grouping: OccId) -> Level {
        Level {
            grouping,
            aggregates: RefCell::new(Vec::new()),
            first_aggregate: Cell::new(None),
            place: Cell::new(Place::From),
            reads: RefCell::new(HashMap::new()),
        }
    }

    /// Runs `f` while binding `place`.
    pub(crate) fn at<T>(&self, place: Place, f: impl FnOnce() -> T) -> T {
        let before = self.place.replace(place);
        let out = f();
        self.place.set(before);
        out
    }
}

/// A level of visibility.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'s> {
    pub(crate) parent: Option<&'s Scope<'s>>,
    /// The common table expressions that are visible here.
    pub(crate) ctes: &'s [Cte],
    pub(crate) names: Option<&'s Names>,
    pub(crate) level: Option<&'s Level>,
}

/// What a name was found to be.
#[derive(Debug)]
pub(crate) enum Found {
    Column(Typed),
    Row(NamedTable),
}

impl<'s> Scope<'s> {
    pub(crate) const ROOT: Scope<'static> = Scope {
        parent: None,
        ctes: &[],
        names: None,
        level: None,
    };

    fn chain(&'s self) -> impl Iterator<Item = &'s Scope<'s>> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let this = next?;
            next = this.parent;
            Some(this)
        })
    }

    /// The innermost grouping level.
    pub(crate) fn own_level(&'s self) -> Option<&'s Level> {
        self.chain().find_map(|s| s.level)
    }

    /// What the innermost FROM clause makes visible.
    pub(crate) fn own_names(&'s self) -> Option<&'s Names> {
        self.chain().find_map(|s| s.names)
    }

    /// A common table expression and the scope that it was written in.
    pub(crate) fn cte(&'s self, name: &str) -> Option<(&'s Cte, Scope<'s>)> {
        self.chain().find_map(|s| {
            let i = s.ctes.iter().rposition(|c| fold(&c.alias.name) == name)?;
            Some((
                &s.ctes[i],
                Scope {
                    parent: s.parent,
                    ctes: &s.ctes[..i],
                    names: None,
                    level: None,
                },
            ))
        })
    }

    /// `name`
    pub(crate) fn find(&'s self, ident: &Ident) -> Checked<Found> {
        let name = fold(ident);
        for scope in self.chain() {
            let Some(names) = scope.names else { continue };
            let mut hits = names.columns.iter().filter(|c| c.name == name);
            if let Some(hit) = hits.next() {
                if hits.next().is_some() {
                    let tables: Vec<&str> = names
                        .tables
                        .iter()
                        .filter(|t| t.columns.iter().any(|c| c.name == name))
                        .map(|t| t.alias.as_str())
                        .collect();
                    return Err(Problem::hinted(
                        ident.span,
                        format!("column reference \"{name}\" is ambiguous"),
                        match tables.as_slice() {
                            [a, b, ..] => format!("write `{a}.{name}` or `{b}.{name}`"),
                            _ => "give the columns different names".to_owned(),
                        },
                    ));
                }
                self.note(&hit.typed, ident.span, scope);
                return Ok(Found::Column(hit.typed.clone()));
            }
        }
        if let Some(table) = self.table(None, &name) {
            return Ok(Found::Row(table.clone()));
        }
        Err(match self.nearest(&name) {
            Some(near) => Problem::hinted(
                ident.span,
                format!("column \"{name}\" does not exist"),
                format!("did you mean `{near}`?"),
            ),
            None => Problem::at(ident.span, format!("column \"{name}\" does not exist")),
        })
    }

    /// `table.name`, `schema.table.name`
    pub(crate) fn find_qualified(&'s self, parts: &[Ident]) -> Checked<Found> {
        let span = Span::union_iter(parts.iter().map(|p| p.span));
        let (schema, table, column) = match parts {
            [table, column] => (None, table, column),
            [schema, table, column] => (Some(fold(schema)), table, column),
            _ => return Err(Problem::at(span, "this name has too many parts")),
        };
        let alias = fold(table);
        let name = fold(column);
        for scope in self.chain() {
            let Some(hit) = scope
                .names
                .and_then(|n| find_table(n, schema.as_deref(), &alias))
            else {
                continue;
            };
            let mut columns = hit.columns.iter().filter(|c| c.name == name);
            return match (columns.next(), columns.next()) {
                (Some(found), None) => {
                    self.note(&found.typed, span, scope);
                    Ok(Found::Column(found.typed.clone()))
                }
                (Some(_), Some(_)) => Err(Problem::at(
                    span,
                    format!("column reference \"{name}\" is ambiguous"),
                )),
                (None, _) => {
                    let message = format!("column {alias}.{name} does not exist");
                    Err(
                        match closest(&name, hit.columns.iter().map(|c| c.name.as_str())) {
                            Some(near) => Problem::hinted(
                                span,
                                message,
                                format!("did you mean `{alias}.{near}`?"),
                            ),
                            None => Problem::at(span, message),
                        },
                    )
                }
            };
        }
        Err(Problem::hinted(
            table.span,
            format!("missing FROM-clause entry for table \"{alias}\""),
            "name the table, or its alias, in FROM",
        ))
    }

    /// The relation that `alias` names.
    pub(crate) fn table(&'s self, schema: Option<&str>, alias: &str) -> Option<&'s NamedTable> {
        self.chain()
            .find_map(|s| s.names.and_then(|n| find_table(n, schema, alias)))
    }

    /// Remembers that `*` read a column here.
    pub(crate) fn note_read(&'s self, typed: &Typed, span: Span) {
        self.note(typed, span, self);
    }

    /// Remembers that a column was read after grouping.
    fn note(&'s self, typed: &Typed, span: Span, found: &Scope<'_>) {
        // A level's own FROM scope may be a child of it (LATERAL), so the level is found outwards from where the name was.
        let level = found.level.or_else(|| found.parent.and_then(|p| p.level));
        let nested = match (level, self.own_level()) {
            (Some(level), Some(own)) => !std::ptr::eq(level, own),
            _ => false,
        };
        if let Some(level) = level
            && level.place.get() == Place::After
        {
            for column in crate::arena::columns_of(&typed.expr) {
                level
                    .reads
                    .borrow_mut()
                    .entry((column, nested))
                    .or_insert(span);
            }
        }
    }

    fn nearest(&'s self, name: &str) -> Option<String> {
        let names: Vec<&str> = self
            .chain()
            .filter_map(|s| s.names)
            .flat_map(|n| n.columns.iter().map(|c| c.name.as_str()))
            .collect();
        closest(name, names.into_iter()).map(str::to_owned)
    }
}

fn find_table<'n>(names: &'n Names, schema: Option<&str>, alias: &str) -> Option<&'n NamedTable> {
    names
        .tables
        .iter()
        .find(|t| t.alias == alias && schema.is_none_or(|s| t.schema.as_deref() == Some(s)))
}

/// An identifier as Postgres folds it.
pub(crate) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

/// The name that was probably meant: at most a third of the letters differ.
fn closest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    candidates
        .map(|c| (distance(name, c), c))
        .filter(|(d, c)| *d > 0 && *d * 3 <= name.len().max(c.len()))
        .min()
        .map(|(_, c)| c)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}
