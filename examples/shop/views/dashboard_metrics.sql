-- The owner's dashboard: one row per day.
SELECT (o.placed_at AT TIME ZONE 'UTC')::date AS day,
       count(DISTINCT o.id) AS orders,
       count(DISTINCT o.id) FILTER (WHERE o.status = 'cancelled') AS cancelled,
       count(DISTINCT o.customer_id) AS customers,
       sum(i.quantity) AS units,
       coalesce(sum(i.quantity * i.unit_price) FILTER (WHERE o.status IN ('paid', 'shipped')), 0) AS revenue,
       round(avg(i.unit_price), 2) AS average_price
FROM order_items i
JOIN orders o ON o.id = i.order_id
GROUP BY (o.placed_at AT TIME ZONE 'UTC')::date
