-- The order page: an order with its customer, its lines and its total.
SELECT o.id,
       o.status,
       o.placed_at,
       o.paid_at,
       o.shipped_at,
       o.note,
       jsonb_build_object('id', c.id, 'name', c.name, 'email', c.email, 'country', c.country) AS customer,
       (SELECT jsonb_agg(jsonb_build_object('line', i.line, 'product_id', i.product_id, 'sku', p.sku, 'name', p.name,
                                            'quantity', i.quantity, 'unit_price', i.unit_price) ORDER BY i.line)
        FROM order_items i
        JOIN products p ON p.id = i.product_id
        WHERE i.order_id = o.id) AS items,
       o.shipping + coalesce((SELECT sum(i.quantity * i.unit_price) FROM order_items i WHERE i.order_id = o.id), 0) AS total
FROM orders o
JOIN customers c ON c.id = o.customer_id
