//! What Postgres says of a query's columns, against what readside says.
//!
//! Always: a difference means that readside understands the query otherwise than Postgres does, so it must not be run.

use readside_model::Catalog;
use readside_pgtype::{Type, format_type};
use tokio_postgres::types::Kind;

/// The first difference between a query's columns as Postgres describes them and as readside does; `None` if there is none.
#[must_use]
pub fn column_difference<'o>(
    theirs: &[tokio_postgres::Column],
    ours: impl ExactSizeIterator<Item = (&'o str, &'o Type)>,
    catalog: &Catalog,
) -> Option<String> {
    if theirs.len() != ours.len() {
        return Some(format!(
            "Postgres gives {} columns, readside {}",
            theirs.len(),
            ours.len()
        ));
    }
    theirs
        .iter()
        .zip(ours)
        .find(|(t, (name, ty))| t.name() != *name || !is_same(t.type_(), ty.base()))
        .map(|(t, (name, ty))| {
            format!(
                "Postgres calls a column `{}` of type {}, readside `{name}` of type {}",
                t.name(),
                shown(t.type_(), catalog),
                format_type(ty, -1),
            )
        })
}

fn is_same(theirs: &tokio_postgres::types::Type, ours: &Type) -> bool {
    match (theirs.kind(), ours) {
        // The oid of an array of a user's type is not kept.
        (Kind::Array(element), Type::Array(ours)) => is_same(element, ours),
        // A table's row is known by its fields.
        (Kind::Composite(fields), Type::Record(ours)) => {
            fields.len() == ours.fields.len()
                && fields.iter().zip(&ours.fields).all(|(theirs, (name, ty))| {
                    theirs.name() == &**name && is_same(theirs.type_(), ty)
                })
        }
        _ => theirs.oid() == ours.oid(),
    }
}

fn shown(ty: &tokio_postgres::types::Type, catalog: &Catalog) -> String {
    if let Kind::Array(element) = ty.kind() {
        return format!("{}[]", shown(element, catalog));
    }
    Type::from_oid(ty.oid())
        .as_ref()
        .or_else(|| catalog.types.get(&ty.oid()))
        .map_or_else(|| ty.name().to_owned(), |ty| format_type(ty, -1))
}
