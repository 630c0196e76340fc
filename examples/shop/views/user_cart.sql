-- A customer's cart, at today's prices. An empty cart has no total.
SELECT c.id AS customer_id,
       c.name AS customer,
       a.updated_at,
       ARRAY(SELECT jsonb_build_object('product_id', i.product_id, 'name', p.name, 'price', p.price, 'quantity', i.quantity,
                                       'available', p.active)
             FROM cart_items i
             JOIN products p ON p.id = i.product_id
             WHERE i.cart_id = a.id
             ORDER BY i.added_at, i.product_id) AS items,
       (SELECT sum(i.quantity * p.price)
        FROM cart_items i
        JOIN products p ON p.id = i.product_id
        WHERE i.cart_id = a.id) AS total
FROM customers c
JOIN carts a ON a.customer_id = c.id
