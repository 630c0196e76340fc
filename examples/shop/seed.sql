-- Data for the shop. `:scale` 1 is 200 products, 400 customers and 1,000 orders; the same every time.

SELECT setseed(0.42);

INSERT INTO categories (id, parent_id, name, slug)
SELECT i, CASE WHEN i > 6 THEN 1 + (i - 1) % 6 END,
       (ARRAY['Kitchen', 'Garden', 'Books', 'Music', 'Sports', 'Möbel'])[1 + (i - 1) % 6]
           || CASE WHEN i > 6 THEN ' ' || (ARRAY['Basics', 'Pro', 'Outlet', 'New', 'Café'])[1 + i % 5] || ' ' || i ELSE '' END,
       'category-' || i
FROM generate_series(1, 36) AS i;
SELECT setval(pg_get_serial_sequence('categories', 'id'), 36);

INSERT INTO products (sku, category_id, name, description, price, tags, attributes, active, updated_at)
SELECT 'SKU-' || lpad(i::text, 6, '0'),
       7 + floor(30 * random())::int,
       (ARRAY['Oak', 'Steel', 'Linen', 'Ceramic', 'Folding', 'Crème'])[1 + floor(6 * random())::int] || ' '
           || (ARRAY['chair', 'lamp', 'kettle', 'notebook', 'guitar', 'tent', 'bowl'])[1 + floor(7 * random())::int] || ' ' || i,
       CASE WHEN random() < 0.9 THEN repeat('Well made, and it lasts. ', 1 + floor(8 * random())::int)
            WHEN random() < 0.5 THEN repeat(md5(i::text) || ' ', 200) END,
       round((1 + 200 * power(random(), 3))::numeric, 2),
       CASE WHEN random() < 0.2 THEN '{}'::text[] ELSE ARRAY['tag-' || floor(20 * random())::int, 'tag-' || floor(20 * random())::int] END,
       CASE WHEN random() < 0.9 THEN jsonb_build_object('weight_g', floor(5000 * random())::int, 'colour',
           (ARRAY['red', 'blue', 'grün', 'black'])[1 + floor(4 * random())::int], 'sizes', jsonb_build_array('S', 'M', 'XL'), 'length_cm', 2.50) END,
       random() < 0.95,
       now() - interval '90 days' * random()
FROM generate_series(1, 200 * :scale) AS i;

INSERT INTO customers (email, name, country, vip, preferences, created_at)
SELECT 'customer-' || i || '@example.com',
       (ARRAY['Ada', 'Grace', 'Zoë', 'Linus', 'Ken', 'Łukasz', '明'])[1 + floor(7 * random())::int] || ' '
           || (ARRAY['Hopper', 'Lovelace', 'O''Neil', 'Müller', 'Sato'])[1 + floor(5 * random())::int],
       (ARRAY['DE', 'FR', 'GB', 'JP', 'US', 'BR'])[1 + floor(6 * random())::int],
       random() < 0.05,
       CASE WHEN random() < 0.5 THEN '{}'::jsonb ELSE jsonb_build_object('newsletter', random() < 0.5, 'language', 'en') END,
       now() - interval '365 days' * random()
FROM generate_series(1, 400 * :scale) AS i;

INSERT INTO orders (customer_id, status, shipping, note, placed_at)
SELECT 1 + floor(400 * :scale * power(random(), 2))::bigint,
       (ARRAY['placed', 'paid', 'shipped', 'shipped', 'shipped', 'cancelled'])[1 + floor(6 * random())::int]::order_status,
       CASE WHEN random() < 0.5 THEN 0 ELSE 4.90 END,
       CASE WHEN random() < 0.1 THEN 'Please leave it at the door.' END,
       now() - interval '60 days' * random()
FROM generate_series(1, 1000 * :scale);

UPDATE orders SET paid_at = placed_at + interval '10 minutes' WHERE status IN ('paid', 'shipped');
UPDATE orders SET shipped_at = placed_at + interval '1 day' WHERE status = 'shipped';

INSERT INTO order_items (order_id, line, product_id, quantity, unit_price)
SELECT o.id, i.line, p.id, 1 + floor(3 * random())::int, p.price
FROM (SELECT id, 1 + floor(5 * random())::int AS lines FROM orders ORDER BY id) o
CROSS JOIN LATERAL (SELECT line, 1 + floor(200 * :scale * power(random(), 2))::bigint AS product_id
                    FROM generate_series(1, o.lines) AS line) i
JOIN products p ON p.id = i.product_id;

INSERT INTO carts (customer_id, updated_at)
SELECT id, now() - interval '5 days' * random() FROM customers WHERE id % 4 = 0 ORDER BY id;

INSERT INTO cart_items (cart_id, product_id, quantity, added_at)
SELECT c.id, 1 + floor(200 * :scale * power(random(), 2))::bigint, 1 + floor(3 * random())::int, c.updated_at
FROM carts c CROSS JOIN generate_series(1, 3)
ON CONFLICT DO NOTHING;

INSERT INTO reviews (product_id, customer_id, rating, title, body, created_at)
SELECT 1 + floor(200 * :scale * power(random(), 2))::bigint, 1 + floor(400 * :scale * random())::bigint,
       1 + floor(5 * sqrt(random()))::int,
       CASE WHEN random() < 0.8 THEN (ARRAY['Great', 'Good', 'So-so', 'Gâché'])[1 + floor(4 * random())::int] END,
       CASE WHEN random() < 0.6 THEN repeat('I use it every day. ', 1 + floor(5 * random())::int) END,
       now() - interval '60 days' * random()
FROM generate_series(1, 800 * :scale);

ANALYZE;
