-- What the search page needs: one document per product on sale.
SELECT p.id,
       p.sku,
       p.name,
       p.description,
       p.price,
       p.tags,
       p.attributes,
       p.updated_at,
       c.name AS category,
       d.name AS department,
       (SELECT count(*) FROM reviews r WHERE r.product_id = p.id) AS review_count,
       (SELECT round(avg(r.rating), 2) FROM reviews r WHERE r.product_id = p.id) AS rating
FROM products p
JOIN categories c ON c.id = p.category_id
LEFT JOIN categories d ON d.id = c.parent_id
WHERE p.active
