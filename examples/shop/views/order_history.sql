-- The account page: the last ten orders of each customer.
SELECT c.id AS customer_id,
       c.name AS customer,
       o.id AS order_id,
       o.status,
       o.placed_at,
       o.shipping
FROM customers c
JOIN LATERAL (SELECT o.id, o.status, o.placed_at, o.shipping
              FROM orders o
              WHERE o.customer_id = c.id
              ORDER BY o.placed_at DESC, o.id DESC
              LIMIT 10) o ON true
