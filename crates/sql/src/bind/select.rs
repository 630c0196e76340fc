//! SELECT: select list, WHERE, GROUP BY, HAVING, DISTINCT, ORDER BY, LIMIT.

use readside_aggregate::SortKey;
use readside_expr::{CastContext, Expr, Typed, cast};
use readside_pgtype::Type;
use readside_plan::{Distinct, Query, Relation};
use sqlparser::ast::{
    self, GroupByExpr, LimitClause, OrderByKind, OrderBySort, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, Spanned,
};
use sqlparser::tokenizer::Span;

use super::from::identifiers;
use super::window::{is_ranked, windows};
use super::{Binder, Bound, Texts};
use crate::arena::{NamedColumn, conjuncts};
use crate::refusal::{Checked, Problem};
use crate::scope::{Level, Names, Place, Scope, fold};
use crate::type_facts;

/// An item of the select list.
struct Item {
    name: String,
    typed: Typed,
    span: Span,
}

impl Binder<'_> {
    /// A query at any level.
    pub(crate) fn query(&mut self, query: &ast::Query, outer: &Scope<'_>) -> Checked<Bound> {
        if !query.locks.is_empty() {
            return Err(Problem::hinted(
                first_word(query),
                "a view does not lock rows",
                "leave FOR UPDATE and FOR SHARE out",
            ));
        }
        let Some(with) = &query.with else {
            return self.body(query, outer);
        };
        if with.recursive {
            return Err(Problem::hinted(
                with.with_token.0.span,
                "a recursive query is not supported yet",
                "keep the path or the depth in a column of the table, or join a fixed number of levels",
            ));
        }
        let scope = Scope {
            parent: Some(outer),
            ctes: &with.cte_tables,
            names: None,
            level: None,
        };
        self.body(query, &scope)
    }

    fn body(&mut self, query: &ast::Query, outer: &Scope<'_>) -> Checked<Bound> {
        let span = first_word(query);
        match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, query, outer),
            SetExpr::Query(inner)
                if query.order_by.is_none()
                    && query.limit_clause.is_none()
                    && query.fetch.is_none() =>
            {
                self.query(inner, outer)
            }
            SetExpr::Query(_) => Err(Problem::hinted(
                span,
                "ORDER BY or LIMIT around a query in brackets is not supported",
                "write them inside the brackets, or leave the brackets out",
            )),
            SetExpr::SetOperation { op, .. } => Err(Problem::hinted(
                span,
                format!("{op} is not supported yet"),
                match op {
                    SetOperator::Union => "write one view per branch, into the same kind of sink",
                    _ => "write the condition as [NOT] EXISTS in WHERE",
                },
            )),
            SetExpr::Values(_) => Err(Problem::hinted(
                span,
                "VALUES is not supported yet",
                "write a CASE, or keep the list in a table",
            )),
            _ => Err(Problem::hinted(
                span,
                "a view is a SELECT",
                "write SELECT …",
            )),
        }
    }

    fn select(&mut self, select: &Select, query: &ast::Query, outer: &Scope<'_>) -> Checked<Bound> {
        let at = select.select_token.0.span;
        if select.into.is_some() {
            return Err(Problem::hinted(
                at,
                "SELECT INTO writes a table",
                "leave INTO out; `into` in readside.toml says where rows go",
            ));
        }
        if !select.named_window.is_empty() || select.qualify.is_some() {
            return Err(windows(at));
        }
        let grouping = self.arena.add_occ(Relation::Grouping, "group", at)?;
        let level = Level::new(grouping);
        let (from, names) = self.bind_from(&select.from, outer, &level)?;
        let scope = Scope {
            parent: Some(outer),
            ctes: &[],
            names: Some(&names),
            level: Some(&level),
        };
        let mut bound = Query::over(from);
        if let Some(condition) = &select.selection {
            let condition =
                level.at(Place::Where, || self.condition(condition, &scope, "WHERE"))?;
            conjuncts(condition, &mut bound.filter);
        }
        let items = level.at(Place::After, || {
            self.select_list(&select.projection, &names, &scope)
        })?;
        let (keys, key_texts) = level.at(Place::GroupBy, || {
            self.group_by(&select.group_by, &items, &names, &scope)
        })?;
        if let Some(site) = self.site(query) {
            self.texts.insert(site.select, texts(&names, key_texts));
        }
        if let Some(condition) = &select.having {
            let condition =
                level.at(Place::After, || self.condition(condition, &scope, "HAVING"))?;
            if is_ranked(&condition) {
                return Err(Problem::hinted(
                    select.having.as_ref().map_or(at, Spanned::span),
                    "window functions are not allowed in HAVING",
                    "rank in a subquery in FROM, and use its column outside of it",
                ));
            }
            conjuncts(condition, &mut bound.having);
        }
        bound.select = items.iter().map(|i| i.typed.expr.clone()).collect();
        bound.types = items.iter().map(|i| i.typed.ty.clone()).collect();
        let mut order_problem = None;
        level.at(Place::After, || {
            bound.distinct = self.distinct(select.distinct.as_ref(), &items, &scope)?;
            (bound.order, order_problem) = self.order_by(query, &items, &bound.distinct, &scope)?;
            Checked::Ok(())
        })?;
        self.limit(query, &mut bound)?;
        let order_matters =
            bound.limit.is_some() || bound.offset > 0 || matches!(bound.distinct, Distinct::On(_));
        if order_matters && let Some(problem) = order_problem.take() {
            return Err(problem);
        }
        let grouped = !keys.is_empty()
            || select.having.is_some()
            || level.first_aggregate.get().is_some()
            || !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
        if grouped {
            self.group(&mut bound, keys, &level)?;
        }
        let spans = items.iter().map(|i| i.span).collect();
        Ok(Bound {
            query: bound,
            spans,
            columns: items
                .into_iter()
                .map(|i| NamedColumn {
                    name: i.name,
                    typed: i.typed,
                })
                .collect(),
            order_problem,
        })
    }

    fn select_list(
        &mut self,
        list: &[SelectItem],
        names: &Names,
        scope: &Scope<'_>,
    ) -> Checked<Vec<Item>> {
        let mut items = Vec::new();
        for item in list {
            let span = item.span();
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let typed = self.expression(expr, scope)?.or_text();
                    let name = self.output_name(expr);
                    items.push(Item { name, typed, span });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let typed = self.expression(expr, scope)?.or_text();
                    items.push(Item {
                        name: fold(alias),
                        typed,
                        span: expr.span(),
                    });
                }
                SelectItem::Wildcard(options) if plain_wildcard(options) => {
                    if names.columns.is_empty() {
                        return Err(Problem::at(
                            span,
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                    items.extend(self.all_columns(&names.columns, scope, span));
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ) if plain_wildcard(options) => {
                    let parts = identifiers(name)?;
                    let table = match parts.as_slice() {
                        [table] => scope.table(None, &fold(table)),
                        [schema, table] => scope.table(Some(&fold(schema)), &fold(table)),
                        _ => None,
                    };
                    let Some(table) = table else {
                        return Err(Problem::hinted(
                            span,
                            format!("missing FROM-clause entry for table \"{name}\""),
                            "name the table, or its alias, in FROM",
                        ));
                    };
                    items.extend(self.all_columns(&table.columns, scope, span));
                }
                _ => {
                    return Err(Problem::hinted(
                        span,
                        "this form of * is not supported",
                        "name the columns",
                    ));
                }
            }
        }
        Ok(items)
    }

    fn all_columns(&mut self, columns: &[NamedColumn], scope: &Scope<'_>, span: Span) -> Vec<Item> {
        for column in columns {
            scope.note_read(&column.typed, span);
        }
        columns
            .iter()
            .map(|c| Item {
                name: c.name.clone(),
                typed: c.typed.clone(),
                span,
            })
            .collect()
    }

    /// A condition: a boolean expression.
    pub(super) fn condition(
        &mut self,
        condition: &ast::Expr,
        scope: &Scope<'_>,
        clause: &str,
    ) -> Checked<Expr> {
        let typed = self.expression(condition, scope)?;
        let shown = type_facts::name(&typed.ty);
        match typed.ty.base() {
            Type::Bool => Ok(typed.expr),
            Type::Unknown => cast(typed, &Type::Bool, -1, CastContext::Implicit)
                .map(|t| t.expr)
                .map_err(|e| Problem::at(condition.span(), e.message)),
            _ => Err(Problem::at(
                condition.span(),
                format!("argument of {clause} must be type boolean, not type {shown}"),
            )),
        }
    }

    fn group_by(
        &mut self,
        group_by: &GroupByExpr,
        items: &[Item],
        names: &Names,
        scope: &Scope<'_>,
    ) -> Checked<(Vec<Typed>, Vec<String>)> {
        let GroupByExpr::Expressions(list, modifiers) = group_by else {
            return Err(Problem::hinted(
                group_by.span(),
                "GROUP BY ALL is not supported",
                "name the columns",
            ));
        };
        if !modifiers.is_empty() {
            return Err(grouping_sets(group_by.span()));
        }
        let mut flat = Vec::new();
        for e in list {
            match e {
                ast::Expr::Tuple(parts) if parts.is_empty() => {}
                ast::Expr::Tuple(parts) => flat.extend(parts),
                ast::Expr::Rollup(_) | ast::Expr::Cube(_) | ast::Expr::GroupingSets(_) => {
                    return Err(grouping_sets(e.span()));
                }
                e => flat.push(e),
            }
        }
        let mut keys: Vec<Typed> = Vec::new();
        let mut texts = Vec::new();
        for e in flat {
            let span = e.span();
            let typed = match (ordinal(e), e) {
                (Some(n), _) => item_at(items, n, "GROUP BY", span)?.typed.clone(),
                (None, ast::Expr::Identifier(ident))
                    if !names.columns.iter().any(|c| c.name == fold(ident)) =>
                {
                    match item_named(items, &fold(ident), span)? {
                        Some(item) => item.typed.clone(),
                        None => self.expression(e, scope)?,
                    }
                }
                _ => self.expression(e, scope)?,
            }
            .or_text();
            if self.reads_grouping(&typed.expr, scope) {
                return Err(Problem::at(
                    span,
                    "aggregate functions are not allowed in GROUP BY",
                ));
            }
            type_facts::groupable(&typed, span)?;
            if !keys.iter().any(|k| k.expr == typed.expr) {
                keys.push(typed);
                texts.push(e.to_string());
            }
        }
        Ok((keys, texts))
    }

    fn reads_grouping(&self, expr: &Expr, scope: &Scope<'_>) -> bool {
        scope.own_level().is_some_and(|level| {
            crate::arena::columns_of(expr)
                .iter()
                .any(|c| c.occ == level.grouping)
        })
    }

    fn distinct(
        &mut self,
        distinct: Option<&ast::Distinct>,
        items: &[Item],
        scope: &Scope<'_>,
    ) -> Checked<Distinct> {
        match distinct {
            None | Some(ast::Distinct::All) => Ok(Distinct::No),
            Some(ast::Distinct::Distinct) => {
                for item in items {
                    type_facts::groupable(&item.typed, item.span)?;
                }
                Ok(Distinct::All)
            }
            Some(ast::Distinct::On(list)) => {
                let mut on = Vec::new();
                for e in list {
                    let typed = self.output_reference(e, items, "SELECT DISTINCT ON", scope)?;
                    type_facts::groupable(&typed, e.span())?;
                    on.push((typed.expr, typed.ty));
                }
                Ok(Distinct::On(on))
            }
        }
    }

    /// An expression of ORDER BY or DISTINCT ON: an ordinal, an output name, or an expression over the input.
    fn output_reference(
        &mut self,
        e: &ast::Expr,
        items: &[Item],
        clause: &str,
        scope: &Scope<'_>,
    ) -> Checked<Typed> {
        let span = e.span();
        if let Some(n) = ordinal(e) {
            return Ok(item_at(items, n, clause, span)?.typed.clone());
        }
        if let ast::Expr::Identifier(ident) = e
            && let Some(item) = item_named(items, &fold(ident), span)?
        {
            return Ok(item.typed.clone());
        }
        Ok(self.expression(e, scope)?.or_text())
    }

    fn order_by(
        &mut self,
        query: &ast::Query,
        items: &[Item],
        distinct: &Distinct,
        scope: &Scope<'_>,
    ) -> Checked<(Vec<SortKey>, Option<Box<Problem>>)> {
        let Some(order) = &query.order_by else {
            return Ok((Vec::new(), None));
        };
        let OrderByKind::Expressions(list) = &order.kind else {
            return Err(Problem::hinted(
                order.span(),
                "ORDER BY ALL is not Postgres'",
                "name the columns",
            ));
        };
        let mut keys = Vec::new();
        let mut problem = None;
        for item in list {
            let span = item.expr.span();
            let typed = self.output_reference(&item.expr, items, "ORDER BY", scope)?;
            if matches!(distinct, Distinct::All)
                && !items.iter().any(|i| i.typed.expr == typed.expr)
            {
                return Err(Problem::at(
                    span,
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                ));
            }
            if let Err(unsortable) = type_facts::sortable(&typed, span) {
                problem.get_or_insert(unsortable);
            }
            keys.push(sort_key(typed, item)?);
        }
        if let Distinct::On(on) = distinct {
            for key in keys.iter().take(on.len()) {
                if !on.iter().any(|(e, _)| *e == key.expr) {
                    return Err(Problem::at(
                        order.span(),
                        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    ));
                }
            }
        }
        if problem.is_some() {
            keys.clear();
        }
        Ok((keys, problem))
    }

    fn limit(&mut self, query: &ast::Query, bound: &mut Query) -> Checked<()> {
        match &query.limit_clause {
            None => {}
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => {
                if let Some(limit) = limit {
                    bound.limit = row_count(limit, "LIMIT")?;
                }
                if let Some(offset) = offset {
                    bound.offset = row_count(&offset.value, "OFFSET")?.unwrap_or(0);
                }
            }
            Some(clause) => {
                return Err(Problem::hinted(
                    clause.span(),
                    "this form of LIMIT is not Postgres'",
                    "write LIMIT n OFFSET m",
                ));
            }
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(Problem::hinted(
                    query.span(),
                    "FETCH … WITH TIES is not supported yet",
                    "write LIMIT n with an ORDER BY that leaves no ties",
                ));
            }
            bound.limit = match &fetch.quantity {
                Some(quantity) => row_count(quantity, "FETCH")?,
                None => Some(1),
            };
        }
        Ok(())
    }
}

/// How a query's text can name what it reads.
fn texts(names: &Names, group: Vec<String>) -> Texts {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    Texts {
        columns: names
            .tables
            .iter()
            .flat_map(|t| {
                t.columns.iter().map(move |c| {
                    (
                        format!("{}.{}", quoted(&t.alias), quoted(&c.name)),
                        c.typed.expr.clone(),
                    )
                })
            })
            .collect(),
        group,
    }
}

/// `expr ASC|DESC NULLS FIRST|LAST`
pub(super) fn sort_key(typed: Typed, item: &ast::OrderByExpr) -> Checked<SortKey> {
    let descending = match &item.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(operator)) => match operator.to_string().as_str() {
            "<" => false,
            ">" => true,
            _ => {
                return Err(Problem::hinted(
                    item.span(),
                    "ORDER BY … USING is supported with < and > only",
                    "write ASC or DESC",
                ));
            }
        },
    };
    Ok(SortKey {
        expr: typed.expr,
        ty: typed.ty,
        descending,
        nulls_first: item.options.nulls_first.unwrap_or(descending),
    })
}

/// The SELECT that a problem of a whole query is shown at.
fn first_word(query: &ast::Query) -> Span {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Select(select) => return select.select_token.0.span,
            SetExpr::Query(inner) => return first_word(inner),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            other => return other.span(),
        };
    }
}

fn grouping_sets(span: Span) -> Box<Problem> {
    Problem::hinted(
        span,
        "grouping sets, ROLLUP and CUBE are not supported yet",
        "write one view per level of grouping",
    )
}

fn plain_wildcard(options: &ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn ordinal(e: &ast::Expr) -> Option<usize> {
    match e {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::Number(n, _) => n.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn item_at<'i>(items: &'i [Item], n: usize, clause: &str, span: Span) -> Checked<&'i Item> {
    n.checked_sub(1)
        .and_then(|i| items.get(i))
        .ok_or_else(|| Problem::at(span, format!("{clause} position {n} is not in select list")))
}

fn item_named<'i>(items: &'i [Item], name: &str, span: Span) -> Checked<Option<&'i Item>> {
    let mut hits = items.iter().filter(|i| i.name == name);
    let Some(first) = hits.next() else {
        return Ok(None);
    };
    if hits.any(|other| other.typed.expr != first.typed.expr) {
        return Err(Problem::at(span, format!("\"{name}\" is ambiguous")));
    }
    Ok(Some(first))
}

/// The number of LIMIT or OFFSET; `None` for ALL and NULL.
fn row_count(e: &ast::Expr, clause: &str) -> Checked<Option<u64>> {
    match e {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::Null => return Ok(None),
            ast::Value::Number(n, _) => {
                if let Ok(n) = n.parse() {
                    return Ok(Some(n));
                }
            }
            ast::Value::SingleQuotedString(s) => {
                if let Ok(n) = s.trim().parse() {
                    return Ok(Some(n));
                }
            }
            _ => {}
        },
        ast::Expr::Nested(inner) => return row_count(inner, clause),
        ast::Expr::Cast { expr, .. } => return row_count(expr, clause),
        ast::Expr::Identifier(ident) if fold(ident) == "all" => return Ok(None),
        _ => {}
    }
    Err(Problem::hinted(
        e.span(),
        format!("{clause} must be a number"),
        format!("write {clause} 10"),
    ))
}
