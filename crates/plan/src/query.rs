//! Plans, stages, blocks, queries.

use readside_aggregate::{AggCall, SortKey};
use readside_expr::{Expr, OccId, Ranking, SubqueryId};
use readside_pgtype::Type;

/// The compiled form of one view.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The view's name.
    pub view: String,
    /// In topological order; the last one is the only one with [`Head::Sink`].
    pub stages: Vec<Stage>,
    /// The view's columns in output order.
    pub columns: Vec<OutputColumn>,
    /// How a row is identified in a sink.
    pub key: SinkKeyPlan,
    /// The view's SQL, without a trailing semicolon: what the oracle runs.
    pub sql: String,
    /// The SQL that `verify` sends: the query with hidden key columns appended (named `_key_1`, …) and tie-breakers where its answer
    /// is undetermined.
    pub verify_sql: String,
    /// Output columns whose arrays or JSON arrays have no defined order in Postgres, so that they compare as multisets.
    pub unordered: Vec<Unordered>,
    /// Output columns that hold sums or averages of floats. They are rounded once from the exact sum here, and after each addition in
    /// Postgres, in an order of its own: the two agree but for their last digits.
    pub inexact: Vec<usize>,
    /// What `check` and `explain` should say: undetermined answers, cost above O(log n), and the like.
    pub warnings: Vec<String>,
    /// A digest of everything that determines the rows: SQL, resolved catalog, evaluator version, time zone data.
    pub fingerprint: String,
}

/// An output column whose value is compared as a multiset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unordered {
    /// Index into [`Plan::columns`].
    pub column: usize,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Its modifier, -1 for none.
    pub typmod: i32,
    /// Whether it can be proven never to be NULL.
    pub not_null: bool,
}

/// How a view's rows are identified in a sink (DESIGN: "A sink row is identified by the sink key").
///
/// The *block key* of the last stage is what changes are lifted to; the *sink key* is what the sink sees. They may differ in
/// representation but determine one another: the sink key's pieces are computed from the block key alone, or are output columns
/// that are bare columns of the rows that the block key names.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkKeyPlan {
    /// The pieces, in order. Empty for a global aggregate.
    pub pieces: Vec<KeyPiece>,
}

/// One piece of a sink key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPiece {
    /// The output column that shows it, or `None` if it is hidden.
    pub column: Option<usize>,
    /// Its name: the output column's, or `_key_<n>`.
    pub name: String,
    /// Its value as an expression over the last stage's occurrences. Only columns of key occurrences ([`Block::key`]) that belong to
    /// their identity, so that it is known for a row that has gone.
    pub expr: Expr,
    /// The occurrence whose absence makes this piece *absent* (not NULL), if it is on the null-supplying side of an outer join.
    pub nullable_side: Option<OccId>,
    /// Its type.
    pub ty: Type,
    /// Whether it can be NULL or absent.
    pub nullable: bool,
}

/// Index of a stage in [`Plan::stages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub u16);

/// A block and its head.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Where its rows come from.
    pub block: Block,
    /// What becomes of them.
    pub head: Head,
    /// The columns of the internal table that the head writes; empty for [`Head::Sink`].
    /// GROUP: the keys, then the aggregates. TOPN: the partition, then the outputs, then the rank.
    pub columns: Vec<StageColumn>,
    /// For `explain`.
    pub label: String,
}

/// A column of an internal table.
#[derive(Debug, Clone, PartialEq)]
pub struct StageColumn {
    /// For `explain`.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// Proven NOT NULL.
    pub not_null: bool,
}

/// What becomes of a block's rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// The view's rows: the block's `query.select` is the output list. Keyed by the block's key.
    Sink,
    /// GROUP BY: one row per distinct `keys` (none: one global row, always there). Internal key: the canonical form of `keys`.
    /// The block's `query.select` is empty; HAVING and the output list belong to the next stage.
    Group {
        /// The minimal determinant of the group columns, over the block's occurrences.
        keys: Vec<Expr>,
        /// The aggregates, deduplicated.
        aggregates: Vec<AggCall>,
    },
    /// The first `limit` rows of each partition by `order` and then the block's key. Internal key: the partition, and for `limit > 1`
    /// the block's key.
    TopN {
        /// PARTITION BY / the correlation columns / DISTINCT ON.
        partition: Vec<Expr>,
        /// ORDER BY.
        order: Vec<SortKey>,
        /// LIMIT, at least 1.
        limit: u64,
        /// A further column: the row's rank in its partition.
        ranking: Option<Ranking>,
    },
}

/// A query over occurrences, with everything that its nested queries refer to.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Every occurrence of the block, those of nested queries included; indexed by [`OccId`].
    pub occurrences: Vec<Occurrence>,
    /// The outermost query. Its `group`, `distinct`, `order`, `limit` are empty: those are heads.
    pub query: Query,
    /// Subqueries that expressions refer to; indexed by [`SubqueryId`].
    pub subqueries: Vec<Subquery>,
    /// The *key occurrences*: those occurrences of the outermost query whose identities together determine every other occurrence's
    /// row, minimal, in a fixed order. Empty only for a block whose FROM is empty or whose only occurrence is a global group.
    pub key: Vec<OccId>,
}

/// One appearance of a relation in a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Of what.
    pub relation: Relation,
    /// The alias, for messages.
    pub alias: String,
}

/// What an occurrence ranges over.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    /// A base table, by oid of the table (root for a partitioned one).
    Table(u32),
    /// The internal table of an earlier stage.
    Stage(StageId),
    /// A nested query in FROM (derived table or LATERAL), evaluated under the outer binding; its columns are its select list.
    Query(Box<Query>),
    /// The result of the [`Grouping`] of the query that it stands in: keys, then aggregates. Never in a FROM.
    Grouping,
}

/// One SELECT.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// FROM; `None` for a SELECT without one (exactly one empty row).
    pub from: Option<FromItem>,
    /// WHERE, as conjuncts.
    pub filter: Vec<Expr>,
    /// GROUP BY and aggregates of a *nested* query. After it, `having`, `select` and `order` read the grouping's occurrence.
    pub group: Option<Grouping>,
    /// HAVING, as conjuncts.
    pub having: Vec<Expr>,
    /// The output list.
    pub select: Vec<Expr>,
    /// Its types.
    pub types: Vec<Type>,
    /// DISTINCT of a nested query.
    pub distinct: Distinct,
    /// ORDER BY of a nested query. Ties are broken by the input's key.
    pub order: Vec<SortKey>,
    /// LIMIT of a nested query.
    pub limit: Option<u64>,
    /// OFFSET of a nested query.
    pub offset: u64,
}

/// DISTINCT.
#[derive(Debug, Clone, PartialEq)]
pub enum Distinct {
    /// None.
    No,
    /// DISTINCT over the whole output list.
    All,
    /// DISTINCT ON these.
    On(Vec<(Expr, Type)>),
}

/// GROUP BY of a nested query.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouping {
    /// Its result's occurrence ([`Relation::Grouping`]).
    pub occ: OccId,
    /// The keys; empty for an aggregate over all rows (one row, always).
    pub keys: Vec<Expr>,
    /// Their types.
    pub key_types: Vec<Type>,
    /// The aggregates.
    pub aggregates: Vec<AggCall>,
}

/// A FROM tree. RIGHT JOIN has been turned around; CROSS JOIN and commas are INNER without conjuncts; USING and NATURAL are conjuncts.
#[derive(Debug, Clone, PartialEq)]
pub enum FromItem {
    /// An occurrence.
    Occurrence(OccId),
    /// INNER JOIN.
    Inner {
        /// Left side.
        left: Box<FromItem>,
        /// Right side.
        right: Box<FromItem>,
        /// ON, as conjuncts.
        on: Vec<Expr>,
    },
    /// LEFT JOIN: the right side is null-supplying.
    Left {
        /// The preserved side.
        left: Box<FromItem>,
        /// The null-supplying side.
        right: Box<FromItem>,
        /// ON, as conjuncts.
        on: Vec<Expr>,
    },
}

/// A subquery in an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// The query; it may refer to occurrences of the queries around it.
    pub query: Query,
    /// What value it has.
    pub kind: SubqueryKind,
}

/// What value a subquery has.
#[derive(Debug, Clone, PartialEq)]
pub enum SubqueryKind {
    /// The one column of its one row; NULL without rows, an error with two.
    Scalar,
    /// `ARRAY(SELECT …)`
    Array,
    /// `EXISTS (…)`
    Exists,
    /// `left IN (…)` with SQL's NULL rules; `NOT IN` is its negation. `equals` compares the two: it reads the subquery's output as
    /// columns of `output`.
    In {
        /// True, false or NULL for one row of the subquery (a [`Relation::Query`]-like occurrence bound to its output).
        equals: Box<Expr>,
        /// The occurrence that stands for the subquery's output row in `equals` ([`Relation::Grouping`] as its relation).
        output: OccId,
    },
}

impl FromItem {
    /// The occurrences of this tree, in FROM order.
    #[must_use]
    pub fn occurrences(&self) -> Vec<OccId> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    fn collect(&self, out: &mut Vec<OccId>) {
        match self {
            FromItem::Occurrence(occ) => out.push(*occ),
            FromItem::Inner { left, right, .. } | FromItem::Left { left, right, .. } => {
                left.collect(out);
                right.collect(out);
            }
        }
    }
}

impl Query {
    /// A query over `from` with nothing else.
    #[must_use]
    pub fn over(from: Option<FromItem>) -> Query {
        Query {
            from,
            filter: Vec::new(),
            group: None,
            having: Vec::new(),
            select: Vec::new(),
            types: Vec::new(),
            distinct: Distinct::No,
            order: Vec::new(),
            limit: None,
            offset: 0,
        }
    }
}

/// Which subquery an expression refers to, for walkers.
#[must_use]
pub fn subqueries_of(expr: &Expr) -> Vec<SubqueryId> {
    let mut out = Vec::new();
    expr.walk(&mut |e| {
        if let Expr::Subquery(id) = e {
            out.push(*id);
        }
    });
    out
}
