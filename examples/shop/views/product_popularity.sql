-- What sells: per product, over all orders that were not cancelled.
SELECT p.id AS product_id,
       p.name,
       count(*) AS order_lines,
       sum(i.quantity) AS units,
       sum(i.quantity * i.unit_price) AS revenue,
       count(DISTINCT o.customer_id) AS buyers,
       max(o.placed_at) AS last_ordered_at
FROM order_items i
JOIN orders o ON o.id = i.order_id
JOIN products p ON p.id = i.product_id
WHERE o.status <> 'cancelled'
GROUP BY p.id, p.name
