//! FROM: tables, joins, derived tables, common table expressions and the source's own views.

use readside_expr::{
    Collation, ColumnRef, Derivation, Expr, OccId, Typed, resolve_operator, unify,
};
use readside_model::{Catalog, RelationKind, Table};
use readside_plan::{FromItem, Relation};
use sqlparser::ast::{
    self, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Spanned, TableAlias,
    TableFactor, TableWithJoins,
};
use sqlparser::tokenizer::Span;

use super::{Binder, Bound, placed};
use crate::arena::{NamedColumn, Site, conjuncts};
use crate::refusal::{Checked, Problem};
use crate::scope::{Level, NamedTable, Names, Scope, fold};
use crate::type_facts;

/// A FROM item and what it makes visible.
type Item = (FromItem, Names);

impl Binder<'_> {
    /// The whole FROM clause.
    pub(super) fn bind_from(
        &mut self,
        from: &[TableWithJoins],
        outer: &Scope<'_>,
        level: &Level,
    ) -> Checked<(Option<FromItem>, Names)> {
        let mut tree: Option<FromItem> = None;
        let mut names = Names::default();
        for item in from {
            let (right, right_names) = self.joins(item, &names, outer, level)?;
            names = side_by_side(names, right_names, item.relation.span())?;
            tree = Some(match tree {
                None => right,
                Some(left) => inner(left, right, Vec::new()),
            });
        }
        Ok((tree, names))
    }

    fn joins(
        &mut self,
        item: &TableWithJoins,
        before: &Names,
        outer: &Scope<'_>,
        level: &Level,
    ) -> Checked<Item> {
        let (mut tree, mut names) = self.factor(&item.relation, before, outer, level)?;
        for join in &item.joins {
            let visible = Names {
                columns: [&before.columns[..], &names.columns[..]].concat(),
                tables: [&before.tables[..], &names.tables[..]].concat(),
            };
            let right = self.factor(&join.relation, &visible, outer, level)?;
            let span = join.relation.span();
            (tree, names) = self.join(
                (tree, names),
                right,
                &join.join_operator,
                outer,
                level,
                span,
            )?;
        }
        Ok((tree, names))
    }

    fn join(
        &mut self,
        (left, left_names): Item,
        (right, right_names): Item,
        operator: &JoinOperator,
        outer: &Scope<'_>,
        level: &Level,
        span: Span,
    ) -> Checked<Item> {
        let (side, constraint) = match operator {
            JoinOperator::Join(c) | JoinOperator::Inner(c) => (Side::Inner, c),
            JoinOperator::CrossJoin(c) => (Side::Inner, c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (Side::Left, c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (Side::Right, c),
            JoinOperator::FullOuter(_) => {
                return Err(Problem::hinted(
                    span,
                    "FULL JOIN is not supported yet",
                    "write two views: a LEFT JOIN from either side",
                ));
            }
            _ => {
                return Err(Problem::hinted(
                    span,
                    "this kind of join is not Postgres'",
                    "write JOIN or LEFT JOIN",
                ));
            }
        };
        let (on, names) = match constraint {
            JoinConstraint::None => {
                let names = side_by_side(left_names, right_names, span)?;
                (Vec::new(), side.supply_nulls(names, &left, &right))
            }
            JoinConstraint::On(condition) => {
                let names = side_by_side(left_names, right_names, span)?;
                let scope = Scope {
                    parent: Some(outer),
                    ctes: &[],
                    names: Some(&names),
                    level: Some(level),
                };
                let condition = self.condition(condition, &scope, "JOIN/ON")?;
                let mut on = Vec::new();
                conjuncts(condition, &mut on);
                on.retain(|e| !is_true(e));
                (on, side.supply_nulls(names, &left, &right))
            }
            JoinConstraint::Using(columns) => {
                let columns = columns
                    .iter()
                    .map(|name| match name.0.as_slice() {
                        [ObjectNamePart::Identifier(i)] => Ok((fold(i), i.span)),
                        _ => Err(Problem::at(name.span(), "USING names bare columns")),
                    })
                    .collect::<Checked<Vec<_>>>()?;
                self.using(
                    &columns,
                    left_names,
                    right_names,
                    side,
                    (&left, &right),
                    span,
                )?
            }
            JoinConstraint::Natural => {
                let columns: Vec<(String, Span)> = left_names
                    .columns
                    .iter()
                    .filter(|l| right_names.columns.iter().any(|r| r.name == l.name))
                    .map(|l| (l.name.clone(), span))
                    .collect();
                self.using(
                    &columns,
                    left_names,
                    right_names,
                    side,
                    (&left, &right),
                    span,
                )?
            }
            JoinConstraint::UsingAlias(..) => {
                return Err(Problem::hinted(
                    span,
                    "an alias for USING is not supported",
                    "leave the alias out",
                ));
            }
        };
        let tree = match side {
            Side::Inner => inner(left, right, on),
            Side::Left => outer_join(left, right, on),
            Side::Right => outer_join(right, left, on),
        };
        Ok((tree, names))
    }

    /// `USING (columns)`: the equalities, and the names with each of those columns once.
    fn using(
        &mut self,
        columns: &[(String, Span)],
        left_names: Names,
        right_names: Names,
        side: Side,
        (left, right): (&FromItem, &FromItem),
        span: Span,
    ) -> Checked<(Vec<Expr>, Names)> {
        let mut on = Vec::new();
        let mut merged = Vec::new();
        for (name, at) in columns {
            let l = only_column(&left_names, name, *at, "left")?;
            let r = only_column(&right_names, name, *at, "right")?;
            let equal = placed(resolve_operator("=", Some(l.clone()), r.clone()), *at)?;
            on.push(equal.expr);
            let typed = if l.ty == r.ty {
                if side == Side::Right { r } else { l }
            } else {
                let (mut both, _) = placed(unify(vec![l, r], "JOIN/USING"), *at)?;
                let right = both.pop();
                let left = both.pop();
                match (side, left, right) {
                    (Side::Right, _, Some(right)) => right,
                    (_, Some(left), _) => left,
                    _ => return Err(Problem::at(*at, "USING needs two columns")),
                }
            };
            merged.push(NamedColumn {
                name: name.clone(),
                typed,
            });
        }
        let names = side_by_side(left_names, right_names, span)?;
        let mut names = side.supply_nulls(names, left, right);
        names
            .columns
            .retain(|c| !columns.iter().any(|(name, _)| *name == c.name));
        merged.append(&mut names.columns);
        names.columns = merged;
        Ok((on, names))
    }

    fn factor(
        &mut self,
        factor: &TableFactor,
        before: &Names,
        outer: &Scope<'_>,
        level: &Level,
    ) -> Checked<Item> {
        let span = factor.span();
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                sample: None,
                inheritance: None,
                with_ordinality: false,
                version: None,
                ..
            } => self.named(name, alias.as_ref(), outer),
            TableFactor::Table {
                sample: Some(_), ..
            } => Err(Problem::hinted(
                span,
                "TABLESAMPLE has no one answer",
                "read the whole table",
            )),
            TableFactor::Table {
                inheritance: Some(_),
                ..
            } => Err(Problem::hinted(
                span,
                "ONLY is not supported",
                "name the table without ONLY",
            )),
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample: None,
            } => {
                let scope = Scope {
                    parent: Some(outer),
                    ctes: &[],
                    names: lateral.then_some(before),
                    level: lateral.then_some(level),
                };
                let bound = self.query(subquery, &scope)?;
                let site = self.site(subquery);
                self.derived(bound, alias.as_ref(), None, site, span)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let (tree, names) = self.joins(table_with_joins, before, outer, level)?;
                let Some(alias) = alias else {
                    return Ok((tree, names));
                };
                let columns = renamed(names.columns, &alias.columns, alias.name.span)?;
                let table = NamedTable {
                    alias: fold(&alias.name),
                    schema: None,
                    columns: columns.clone(),
                    occ: None,
                    nullable: false,
                };
                Ok((
                    tree,
                    Names {
                        columns,
                        tables: vec![table],
                    },
                ))
            }
            TableFactor::Table { .. }
            | TableFactor::Function { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. } => Err(Problem::hinted(
                span,
                "a function in FROM is not supported yet",
                "select the array or the JSON value itself, and take it apart where it is read",
            )),
            _ => Err(Problem::hinted(
                span,
                "this FROM item is not supported",
                "join tables, views and subqueries",
            )),
        }
    }

    /// A table, a common table expression or a view of the source.
    fn named(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        outer: &Scope<'_>,
    ) -> Checked<Item> {
        let span = name.span();
        let parts = identifiers(name)?;
        if let [only] = parts.as_slice()
            && let Some((cte, scope)) = outer.cte(&fold(only))
        {
            let bound = self.query(&cte.query, &scope)?;
            let site = self.site(&cte.query);
            let mut bound = bound;
            bound.columns = renamed(bound.columns, &cte.alias.columns, cte.alias.name.span)?;
            return self.derived(bound, alias, Some(&fold(only)), site, span);
        }
        let (schema, relation) = match parts.as_slice() {
            [relation] => (None, fold(relation)),
            [schema, relation] => (Some(fold(schema)), fold(relation)),
            _ => {
                return Err(Problem::hinted(
                    span,
                    "cross-database references are not implemented",
                    "write schema.table",
                ));
            }
        };
        let catalog = self.arena.catalog;
        let schemas: Vec<&String> = match &schema {
            Some(schema) => vec![schema],
            None => catalog.search_path.iter().collect(),
        };
        for schema_name in schemas {
            let table = catalog
                .tables
                .values()
                .find(|t| t.schema == *schema_name && t.name == relation);
            if let Some(table) = table {
                return self.table(table, alias, span);
            }
            let key = (schema_name.clone(), relation.clone());
            if let Some(definition) = catalog.views.get(&key) {
                return self.view(key, definition, alias, span);
            }
        }
        let shown = match &schema {
            Some(schema) => format!("{schema}.{relation}"),
            None => relation.clone(),
        };
        let elsewhere = catalog
            .tables
            .values()
            .find(|t| t.name == relation)
            .map(Table::display_name);
        Err(Problem::hinted(
            span,
            format!("relation \"{shown}\" does not exist"),
            match elsewhere {
                Some(full) => format!("write `{full}`"),
                None => {
                    "name a table or a view of the source that readside's role may read".to_owned()
                }
            },
        ))
    }

    fn table(&mut self, table: &Table, alias: Option<&TableAlias>, span: Span) -> Checked<Item> {
        if table.kind == RelationKind::Parent {
            return Err(Problem::hinted(
                span,
                format!(
                    "other tables inherit from `{}`, so a query on it reads their rows too, which is not supported",
                    table.display_name()
                ),
                "use partitions, or write a view over each table that inherits",
            ));
        }
        if crate::planner::identity_columns(table).is_none() {
            return Err(Problem::hinted(
                span,
                format!(
                    "table `{}` has no key by which its rows can be told apart",
                    table.display_name()
                ),
                format!(
                    "ALTER TABLE {} ADD PRIMARY KEY (…), or set REPLICA IDENTITY USING INDEX",
                    table.display_name()
                ),
            ));
        }
        let name = alias.map_or_else(|| table.name.clone(), |a| fold(&a.name));
        let occ = self
            .arena
            .add_occ(Relation::Table(table.oid), name.clone(), span)?;
        let catalog = self.arena.catalog;
        let mut columns = Vec::new();
        for (i, column) in table.columns.iter().enumerate() {
            columns.push(NamedColumn {
                name: column.name.clone(),
                typed: column_of_table(catalog, occ, i, column, span)?,
            });
        }
        self.arena.occ_mut(occ).columns.clone_from(&columns);
        let columns = match alias {
            Some(alias) => renamed(columns, &alias.columns, alias.name.span)?,
            None => columns,
        };
        let named = NamedTable {
            alias: name,
            schema: alias.is_none().then(|| table.schema.clone()),
            columns: columns.clone(),
            occ: Some(occ),
            nullable: false,
        };
        Ok((
            FromItem::Occurrence(occ),
            Names {
                columns,
                tables: vec![named],
            },
        ))
    }

    fn view(
        &mut self,
        key: (String, String),
        definition: &str,
        alias: Option<&TableAlias>,
        span: Span,
    ) -> Checked<Item> {
        if self.inlining.contains(&key) {
            return Err(Problem::at(
                span,
                format!("source view `{}` reads itself", key.1),
            ));
        }
        let name = key.1.clone();
        self.inlining.push(key);
        let bound = crate::syntax::parse_view(definition)
            .and_then(|query| self.query(&query, &Scope::ROOT));
        self.inlining.pop();
        let bound = bound.map_err(|p| {
            Box::new(Problem {
                span,
                message: format!("in the source's view `{name}`: {}", p.message),
                hint: p.hint,
            })
        })?;
        self.derived(bound, alias, Some(&name), None, span)
    }

    /// A query in FROM, as an occurrence.
    fn derived(
        &mut self,
        bound: Bound,
        alias: Option<&TableAlias>,
        name: Option<&str>,
        site: Option<Site>,
        span: Span,
    ) -> Checked<Item> {
        let alias_name = alias.map_or_else(
            || name.unwrap_or("unnamed_subquery").to_owned(),
            |a| fold(&a.name),
        );
        let occ = self.arena.add_occ(
            Relation::Query(Box::new(bound.query)),
            alias_name.clone(),
            span,
        )?;
        if let Some(site) = site {
            self.arena.query_sites.insert(occ, site);
        }
        let mut columns = Vec::new();
        for (i, column) in bound.columns.into_iter().enumerate() {
            columns.push(NamedColumn {
                name: column.name,
                typed: Typed {
                    expr: Expr::Column(ColumnRef {
                        occ,
                        column: column_index(i, span)?,
                    }),
                    ..column.typed
                },
            });
        }
        self.arena.occ_mut(occ).columns.clone_from(&columns);
        let columns = match alias {
            Some(alias) => renamed(columns, &alias.columns, alias.name.span)?,
            None => columns,
        };
        let named = NamedTable {
            alias: alias_name,
            schema: None,
            columns: columns.clone(),
            occ: Some(occ),
            nullable: false,
        };
        Ok((
            FromItem::Occurrence(occ),
            Names {
                columns,
                tables: vec![named],
            },
        ))
    }

    /// Where a query stands in the view's own text; `None` inside a view of the source.
    pub(super) fn site(&self, query: &ast::Query) -> Option<Site> {
        if !self.inlining.is_empty() {
            return None;
        }
        super::select_location(query).map(|select| Site { select })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inner,
    Left,
    Right,
}

impl Side {
    /// The names after the join: the null-supplied side's columns may be NULL.
    fn supply_nulls(self, mut names: Names, left: &FromItem, right: &FromItem) -> Names {
        let supplied = match self {
            Side::Inner => return names,
            Side::Left => right,
            Side::Right => left,
        }
        .occurrences();
        let is_supplied = |typed: &Typed| {
            crate::arena::columns_of(&typed.expr)
                .iter()
                .any(|c| supplied.contains(&c.occ))
        };
        for column in names
            .columns
            .iter_mut()
            .chain(names.tables.iter_mut().flat_map(|t| &mut t.columns))
        {
            if is_supplied(&column.typed) {
                column.typed.not_null = false;
            }
        }
        for table in &mut names.tables {
            if table.occ.is_some_and(|occ| supplied.contains(&occ)) {
                table.nullable = true;
            }
        }
        names
    }
}

/// A table's column as an expression.
pub(crate) fn column_of_table(
    catalog: &Catalog,
    occ: OccId,
    index: usize,
    column: &readside_model::Column,
    span: Span,
) -> Checked<Typed> {
    let collation = if type_facts::is_text(&column.ty) {
        Collation {
            bytewise: column.bytewise,
            ctype_c: column.ctype_is_c,
            deterministic: column.deterministic,
            derivation: Derivation::Implicit,
            name: column
                .collation
                .clone()
                .unwrap_or_else(|| catalog.default_collation.clone()),
            is_default: column.collation.is_none(),
        }
    } else {
        Collation::none()
    };
    Ok(Typed::column(
        ColumnRef {
            occ,
            column: column_index(index, span)?,
        },
        column.ty.clone(),
        column.typmod,
        collation,
        column.not_null,
    ))
}

pub(crate) fn column_index(index: usize, span: Span) -> Checked<u16> {
    u16::try_from(index)
        .ok()
        .filter(|i| *i < crate::scope::FIRST_AGGREGATE)
        .ok_or_else(|| Problem::at(span, "the relation has more than 32,767 columns"))
}

fn inner(left: FromItem, right: FromItem, on: Vec<Expr>) -> FromItem {
    FromItem::Inner {
        left: Box::new(left),
        right: Box::new(right),
        on,
    }
}

fn outer_join(left: FromItem, right: FromItem, on: Vec<Expr>) -> FromItem {
    FromItem::Left {
        left: Box::new(left),
        right: Box::new(right),
        on,
    }
}

fn is_true(e: &Expr) -> bool {
    matches!(e, Expr::Const(readside_pgtype::Value::Bool(true)))
}

fn side_by_side(mut left: Names, right: Names, span: Span) -> Checked<Names> {
    for table in &right.tables {
        if left
            .tables
            .iter()
            .any(|t| t.alias == table.alias && t.schema == table.schema)
        {
            return Err(Problem::hinted(
                span,
                format!("table name \"{}\" specified more than once", table.alias),
                "give each use of the table an alias of its own",
            ));
        }
    }
    left.columns.extend(right.columns);
    left.tables.extend(right.tables);
    Ok(left)
}

fn only_column(names: &Names, name: &str, span: Span, side: &str) -> Checked<Typed> {
    let mut hits = names.columns.iter().filter(|c| c.name == name);
    match (hits.next(), hits.next()) {
        (Some(hit), None) => Ok(hit.typed.clone()),
        (None, _) => Err(Problem::at(
            span,
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )),
        _ => Err(Problem::at(
            span,
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )),
    }
}

/// `alias (columns)`
fn renamed(
    mut columns: Vec<NamedColumn>,
    names: &[ast::TableAliasColumnDef],
    span: Span,
) -> Checked<Vec<NamedColumn>> {
    if names.len() > columns.len() {
        return Err(Problem::at(
            span,
            format!(
                "the alias names {} columns, but there are {}",
                names.len(),
                columns.len()
            ),
        ));
    }
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = fold(&name.name);
    }
    Ok(columns)
}

/// The identifiers of a dotted name.
pub(crate) fn identifiers(name: &ObjectName) -> Checked<Vec<&Ident>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Ok(ident),
            ObjectNamePart::Function(_) => Err(Problem::at(name.span(), "a name is expected here")),
        })
        .collect()
}
