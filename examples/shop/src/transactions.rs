//! What customers and staff do, each in one transaction of the application.
//!
//! In: an open transaction and a source of chance. Out: statements that were run in it, or nothing to do.

use rand::Rng;
use rand::rngs::StdRng;
use tokio_postgres::Error;

use crate::session::Session;

/// A kind of transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    FillCart,
    PlaceOrder,
    Pay,
    Ship,
    Cancel,
    Review,
    ChangePrice,
    RaiseCategoryPrices,
    MoveProduct,
    RenameCategory,
    Discontinue,
    SignUp,
    DeleteCustomer,
}

/// How often each is made, of 1,000.
pub(crate) const MIX: &[(Kind, u32)] = &[
    (Kind::FillCart, 290),
    (Kind::PlaceOrder, 250),
    (Kind::Pay, 190),
    (Kind::Ship, 120),
    (Kind::Cancel, 25),
    (Kind::Review, 60),
    (Kind::ChangePrice, 30),
    (Kind::RaiseCategoryPrices, 2),
    (Kind::MoveProduct, 4),
    (Kind::RenameCategory, 2),
    (Kind::Discontinue, 5),
    (Kind::SignUp, 17),
    (Kind::DeleteCustomer, 5),
];

/// Chooses a kind by [`MIX`].
pub(crate) fn choose(rng: &mut StdRng) -> Kind {
    let total: u32 = MIX.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.random_range(0..total);
    for (kind, weight) in MIX {
        if at < *weight {
            return *kind;
        }
        at -= weight;
    }
    Kind::FillCart
}

/// The highest ids, so that rows can be chosen without a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) customers: i64,
    pub(crate) products: i64,
}

impl Extent {
    pub(crate) async fn of(session: &mut Session) -> Result<Self, Error> {
        let row = session
            .row(
                "SELECT coalesce((SELECT max(id) FROM customers), 0), coalesce((SELECT max(id) FROM products), 0)",
                &[],
            )
            .await?;
        Ok(row.map_or(
            Self {
                customers: 0,
                products: 0,
            },
            |row| Self {
                customers: row.get(0),
                products: row.get(1),
            },
        ))
    }
}

/// An id up to `highest`, the low ones more often: the first tenth gets about half of all choices, as best-sellers do.
fn skewed(rng: &mut StdRng, highest: i64) -> i64 {
    let highest = highest.max(1);
    if rng.random_bool(0.4) {
        rng.random_range(1..=(highest / 10).max(1))
    } else {
        rng.random_range(1..=highest)
            .min(rng.random_range(1..=highest))
    }
}

async fn customer(
    session: &mut Session,
    rng: &mut StdRng,
    extent: Extent,
) -> Result<Option<i64>, Error> {
    let from = skewed(rng, extent.customers);
    let row = session
        .row(
            "SELECT id FROM customers WHERE id >= $1 ORDER BY id LIMIT 1",
            &[&from],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Runs one; `false` if there was nothing to do.
pub(crate) async fn run(
    kind: Kind,
    session: &mut Session,
    rng: &mut StdRng,
    extent: Extent,
) -> Result<bool, Error> {
    match kind {
        Kind::FillCart => fill_cart(session, rng, extent).await,
        Kind::PlaceOrder => place_order(session, rng, extent).await,
        Kind::Pay => {
            changed(session.execute(
                "UPDATE orders SET status = 'paid', paid_at = now() WHERE id = \
                 (SELECT id FROM orders WHERE status = 'placed' ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)",
                &[],
            ).await)
        }
        Kind::Ship => {
            changed(session.execute(
                "UPDATE orders SET status = 'shipped', shipped_at = now() WHERE id = \
                 (SELECT id FROM orders WHERE status = 'paid' ORDER BY id DESC LIMIT 1 FOR UPDATE SKIP LOCKED)",
                &[],
            ).await)
        }
        Kind::Cancel => {
            changed(session.execute(
                "UPDATE orders SET status = 'cancelled', note = coalesce(note || ' ', '') || 'Cancelled.' WHERE id = \
                 (SELECT id FROM orders WHERE status = 'placed' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)",
                &[],
            ).await)
        }
        Kind::Review => review(session, rng, extent).await,
        Kind::ChangePrice => {
            let product = skewed(rng, extent.products);
            let cents = rng.random_range(100..20_000_i64);
            changed(session.execute(
                "UPDATE products SET price = $2::bigint / 100.0, updated_at = now() WHERE id = $1",
                &[&product, &cents],
            ).await)
        }
        Kind::RaiseCategoryPrices => {
            let category = rng.random_range(7..=36);
            changed(session.execute(
                "UPDATE products SET price = round(price * CASE WHEN price > 100 THEN 0.80 ELSE 1.05 END, 2), \
                 updated_at = now() WHERE category_id = $1",
                &[&category],
            ).await)
        }
        Kind::MoveProduct => {
            let product = skewed(rng, extent.products);
            let category = rng.random_range(7..=36);
            changed(session.execute(
                "UPDATE products SET category_id = $2, updated_at = now() WHERE id = $1",
                &[&product, &category],
            ).await)
        }
        Kind::RenameCategory => {
            let category = rng.random_range(1..=36);
            let edition = rng.random_range(2..100);
            changed(session.execute(
                "UPDATE categories SET name = regexp_replace(name, ' №.*$', '') || ' №' || $2::int WHERE id = $1",
                &[&category, &edition],
            ).await)
        }
        Kind::Discontinue => {
            let product = skewed(rng, extent.products);
            changed(session.execute(
                "UPDATE products SET active = NOT active, updated_at = now() WHERE id = $1",
                &[&product],
            ).await)
        }
        Kind::SignUp => {
            let vip = rng.random_bool(0.05);
            changed(session.execute(
                "INSERT INTO customers (email, name, country, vip) \
                 VALUES (gen_random_uuid() || '@example.com', 'New customer', 'DE', $1)",
                &[&vip],
            ).await)
        }
        Kind::DeleteCustomer => {
            // Orders, lines, cart and cart lines go too; reviews stay without a name.
            let from = rng.random_range(1..=extent.customers.max(1));
            changed(session.execute(
                "DELETE FROM customers WHERE id = (SELECT id FROM customers WHERE id >= $1 AND NOT vip ORDER BY id LIMIT 1)",
                &[&from],
            ).await)
        }
    }
}

fn changed(rows: Result<u64, Error>) -> Result<bool, Error> {
    rows.map(|rows| rows > 0)
}

async fn fill_cart(session: &mut Session, rng: &mut StdRng, extent: Extent) -> Result<bool, Error> {
    let Some(customer) = customer(session, rng, extent).await? else {
        return Ok(false);
    };
    session
        .execute(
            "INSERT INTO carts (customer_id) VALUES ($1) ON CONFLICT (customer_id) DO UPDATE SET updated_at = now()",
            &[&customer],
        )
        .await?;
    if rng.random_bool(0.15) {
        session
            .execute(
                "DELETE FROM cart_items WHERE (cart_id, product_id) IN (SELECT i.cart_id, i.product_id FROM cart_items i \
                 JOIN carts c ON c.id = i.cart_id WHERE c.customer_id = $1 ORDER BY i.product_id LIMIT 1)",
                &[&customer],
            )
            .await?;
    }
    for _ in 0..rng.random_range(1..=3) {
        let product = skewed(rng, extent.products);
        let quantity = rng.random_range(1..=3);
        session
            .execute(
                "INSERT INTO cart_items (cart_id, product_id, quantity) \
                 SELECT c.id, p.id, $3 FROM carts c, products p WHERE c.customer_id = $1 AND p.id = $2 AND p.active \
                 ON CONFLICT (cart_id, product_id) DO UPDATE SET quantity = 1 + (cart_items.quantity + $3) % 9",
                &[&customer, &product, &quantity],
            )
            .await?;
    }
    Ok(true)
}

async fn place_order(
    session: &mut Session,
    rng: &mut StdRng,
    extent: Extent,
) -> Result<bool, Error> {
    let Some(customer) = customer(session, rng, extent).await? else {
        return Ok(false);
    };
    let free_shipping = rng.random_bool(0.5);
    let row = session
        .row(
            "INSERT INTO orders (customer_id, shipping, note) \
             VALUES ($1, CASE WHEN $2 THEN 0 ELSE 4.90 END, CASE WHEN $2 THEN NULL ELSE 'Ring twice.' END) RETURNING id",
            &[&customer, &free_shipping],
        )
        .await?;
    let Some(order) = row.map(|row| row.get::<_, i64>(0)) else {
        return Ok(false);
    };
    // What lies in the cart first.
    let mut lines = session
        .execute(
            "INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) \
             SELECT $1, row_number() OVER (ORDER BY i.added_at, i.product_id), p.id, i.quantity, p.price \
             FROM carts c JOIN cart_items i ON i.cart_id = c.id JOIN products p ON p.id = i.product_id \
             WHERE c.customer_id = $2 AND p.active ORDER BY i.added_at, i.product_id LIMIT 5",
            &[&order, &customer],
        )
        .await?;
    if lines > 0 {
        session
            .execute(
                "DELETE FROM cart_items WHERE cart_id = (SELECT id FROM carts WHERE customer_id = $1)",
                &[&customer],
            )
            .await?;
    }
    while lines == 0 || rng.random_bool(0.5) {
        lines += 1;
        let line = i16::try_from(lines).unwrap_or(i16::MAX);
        let product = skewed(rng, extent.products);
        let quantity = rng.random_range(1..=4);
        session.command("SAVEPOINT line").await?;
        session
            .execute(
                "INSERT INTO order_items (order_id, line, product_id, quantity, unit_price) \
                 SELECT $1, $2, id, $4, price FROM products WHERE id = $3",
                &[&order, &line, &product, &quantity],
            )
            .await?;
        // Sold out: the line is taken back.
        let take_back = lines > 1 && rng.random_bool(0.1);
        session
            .command(if take_back {
                "ROLLBACK TO SAVEPOINT line"
            } else {
                "RELEASE SAVEPOINT line"
            })
            .await?;
        if lines > 6 {
            break;
        }
    }
    Ok(true)
}

async fn review(session: &mut Session, rng: &mut StdRng, extent: Extent) -> Result<bool, Error> {
    let product = skewed(rng, extent.products);
    match rng.random_range(0..10) {
        0 => changed(
            session
                .execute(
                    "DELETE FROM reviews WHERE id = (SELECT id FROM reviews WHERE product_id = $1 ORDER BY id LIMIT 1)",
                    &[&product],
                )
                .await,
        ),
        1 | 2 => changed(
            session
                .execute(
                    "UPDATE reviews SET rating = 1 + rating % 5, body = coalesce(body, '') || ' Edited.' \
                     WHERE id = (SELECT id FROM reviews WHERE product_id = $1 ORDER BY id DESC LIMIT 1)",
                    &[&product],
                )
                .await,
        ),
        _ => {
            let Some(customer) = customer(session, rng, extent).await? else {
                return Ok(false);
            };
            let rating: i16 = rng.random_range(1..=5);
            changed(
                session
                    .execute(
                        "INSERT INTO reviews (product_id, customer_id, rating, title) VALUES ($1, $2, $3, 'Fine')",
                        &[&product, &customer, &rating],
                    )
                    .await,
            )
        }
    }
}
