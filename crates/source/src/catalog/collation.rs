//! Which collations order text by its bytes.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::SourceError;

/// What matters of one collation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collation {
    /// For messages.
    pub(super) name: String,
    /// Order is that of the UTF-8 bytes.
    pub(super) bytewise: bool,
    /// Case mapping touches ASCII letters only.
    pub(super) ctype_is_c: bool,
    /// Equal means the same bytes.
    pub(super) deterministic: bool,
    /// It is the database's, or the type has none.
    pub(super) is_default: bool,
}

/// All that are in use.
#[derive(Debug)]
pub(super) struct Collations {
    /// The database's own.
    pub(super) default: Collation,
    /// Of types that have none.
    none: Collation,
    named: BTreeMap<u32, Collation>,
}

/// `pg_collation.oid` of "default".
const DEFAULT: u32 = 100;

impl Collations {
    pub(super) async fn load(client: &Client) -> Result<Collations, SourceError> {
        // Columns that some versions lack are read by way of JSON.
        let row = client
            .query_one(
                "SELECT pg_catalog.pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text,
                        COALESCE(to_jsonb(d) ->> 'datlocprovider', 'c'),
                        COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
                 FROM pg_catalog.pg_database d WHERE d.datname = current_database()",
                &[],
            )
            .await?;
        let encoding: String = row.try_get(0)?;
        let (collate, ctype): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let (provider, locale): (String, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        // Elsewhere the order of the server's bytes is not that of the UTF-8 that we see.
        let same_order = matches!(encoding.as_str(), "UTF8" | "SQL_ASCII" | "LATIN1");
        let (bytewise, ctype_is_c) = facts(&provider, &collate, &ctype, locale.as_deref());
        let default = Collation {
            name: match &locale {
                Some(locale) => locale.clone(),
                None => collate,
            },
            bytewise: bytewise && same_order,
            ctype_is_c,
            deterministic: true,
            is_default: true,
        };
        let mut named = BTreeMap::new();
        let rows = client
            .query(
                "SELECT c.oid, c.collname::text, c.collprovider::text, COALESCE(c.collcollate::text, ''), COALESCE(c.collctype::text, ''),
                        COALESCE(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'), c.collisdeterministic
                 FROM pg_catalog.pg_collation c
                 WHERE c.oid <> 100 AND c.oid IN (SELECT a.attcollation FROM pg_catalog.pg_attribute a)",
                &[],
            )
            .await?;
        for row in rows {
            let provider: String = row.try_get(2)?;
            let (collate, ctype): (String, String) = (row.try_get(3)?, row.try_get(4)?);
            let locale: Option<String> = row.try_get(5)?;
            let (bytewise, ctype_is_c) = match provider.as_str() {
                "d" => (default.bytewise, default.ctype_is_c),
                provider => facts(provider, &collate, &ctype, locale.as_deref()),
            };
            named.insert(
                row.try_get(0)?,
                Collation {
                    name: row.try_get(1)?,
                    bytewise: bytewise && same_order,
                    ctype_is_c,
                    deterministic: row.try_get(6)?,
                    is_default: false,
                },
            );
        }
        let none = Collation {
            name: String::new(),
            bytewise: true,
            ctype_is_c: true,
            deterministic: true,
            is_default: true,
        };
        Ok(Collations {
            default,
            none,
            named,
        })
    }

    pub(super) fn get(&self, oid: u32) -> &Collation {
        match oid {
            0 => &self.none,
            DEFAULT => &self.default,
            oid => self.named.get(&oid).unwrap_or(&self.default),
        }
    }
}

/// Bytewise order, and ASCII-only case mapping.
fn facts(provider: &str, collate: &str, ctype: &str, locale: Option<&str>) -> (bool, bool) {
    let plain = |name: &str| matches!(name, "C" | "POSIX");
    match provider {
        // libc: Postgres itself handles C and POSIX; C.UTF-8 is code point order, which is that of UTF-8's bytes.
        "c" => (
            plain(collate)
                || collate.eq_ignore_ascii_case("C.UTF-8")
                || collate.eq_ignore_ascii_case("C.UTF8"),
            plain(ctype),
        ),
        // The builtin provider (17) orders by code point whatever the locale.
        "b" => (true, locale == Some("C")),
        // ICU, and whatever comes.
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn only_code_point_order_is_bytewise() {
        assert_eq!(facts("c", "C", "C", None), (true, true));
        assert_eq!(facts("c", "C.UTF-8", "C.UTF-8", None), (true, false));
        assert_eq!(facts("c", "C.utf8", "C.utf8", None), (true, false));
        assert_eq!(facts("c", "POSIX", "en_US.utf8", None), (true, false));
        assert_eq!(facts("c", "en_US.utf8", "C", None), (false, true));
        assert_eq!(facts("i", "C", "C", Some("en")), (false, false));
        assert_eq!(facts("b", "", "", Some("C.UTF-8")), (true, false));
        assert_eq!(facts("b", "", "", Some("C")), (true, true));
    }
}
