-- view: patients
SELECT p.id, p.name, p.born, p.sex, p.contact -> 'addr' ->> 'city' AS city, d.name AS doctor, w.name AS ward, h.name AS
  head, (SELECT count(*) FROM visit v WHERE v.patient_id = p.id) AS visits, (SELECT max(v.day) FROM visit v WHERE
  v.patient_id = p.id) AS last_visit, (SELECT sum(v.cost) FROM visit v WHERE v.patient_id = p.id) AS cost
FROM patient p
LEFT JOIN doctor d ON d.id = p.doctor_id
LEFT JOIN ward w ON w.code = d.ward
LEFT JOIN doctor h ON h.id = w.head_id;

-- view: visit_documents
SELECT v.id, v.day, to_jsonb(v) AS visit, to_jsonb(p) AS patient, (SELECT jsonb_agg(jsonb_build_object('drug', r.drug,
  'amount', r.amount, 'unit', dr.unit, 'every', r.every, 'over', r.amount > dr.max_dose) ORDER BY r.drug COLLATE "C")
  FROM prescription r JOIN drug dr ON dr.name = r.drug WHERE r.visit_id = v.id AND r.visit_day = v.day) AS prescriptions
FROM visit v
JOIN patient p ON p.id = v.patient_id;

-- view: ward_months
SELECT date_trunc('month', v.day) AS month, d.ward, count(*) AS n, sum(v.cost) AS cost, avg(v.ended - v.started) AS
  avg_len, max(v.ended - v.started) AS longest, count(DISTINCT v.patient_id) AS patients, array_agg(DISTINCT p.sex ORDER
  BY p.sex) AS sexes
FROM visit v
LEFT JOIN doctor d ON d.id = v.doctor_id
JOIN patient p ON p.id = v.patient_id
GROUP BY 1, 2;

-- view: doctors_and_bosses
SELECT d.id, d.name, l.revenue, b.name AS boss, (SELECT l2.revenue FROM doctor_load l2 WHERE l2.id = d.boss) AS
  boss_revenue
FROM doctor d
JOIN doctor_load l ON l.id = d.id
LEFT JOIN doctor b ON b.id = d.boss;

-- view: ward_beds
SELECT w.code, w.name, w.beds, count(b.no) AS used_beds, count(b.patient_id) AS occupied,
  jsonb_agg(jsonb_build_object('no', b.no, 'patient', p.name) ORDER BY b.no) FILTER (WHERE b.no IS NOT NULL) AS beds_doc
FROM ward w
LEFT JOIN bed b ON b.ward = w.code
LEFT JOIN patient p ON p.id = b.patient_id
GROUP BY w.code;

-- view: without_aspirin
SELECT p.id, p.name
FROM patient p
WHERE NOT EXISTS (SELECT 1 FROM visit v JOIN prescription r ON r.visit_id = v.id AND r.visit_day = v.day WHERE
  v.patient_id = p.id AND r.drug = 'aspirin') AND p.doctor_id IS NOT NULL;

-- view: drug_use
SELECT r.drug, sum(r.amount) AS total, max(r.amount) AS mx, min(r.every) AS e, avg(r.amount) AS av, count(*) FILTER
  (WHERE r.until > DATE '2024-01-01') AS recent, array_agg(r.amount ORDER BY r.amount DESC, r.visit_id) AS amounts
FROM prescription r
GROUP BY r.drug;

-- view: shifts
SELECT d.id, d.shift_end - d.shift_start AS shift, d.hours, d.hours * 5 AS week, d.fee * 1.5 AS f, d.rate * 2 AS r2,
  d.rate::numeric AS rn, d.rate::text AS rt, d.skills || 'x'::text AS sk, d.skills || ARRAY['y'] AS sk2,
  array_position(d.skills, 'neuro') AS np, unnest_count.n
FROM doctor d
LEFT JOIN LATERAL (SELECT count(*) AS n FROM patient p WHERE p.doctor_id = d.id) unnest_count ON true;

-- view: patients_shown
SELECT p.id, p.allergies, cardinality(p.allergies) AS n, 'nuts' = ANY (p.allergies) AS nuts, p.allergies IS NULL AS unk,
  p.allergies @> ARRAY['penicillin'] AS pen, array_to_string(p.allergies, ', ', '?') AS txt, p.contact -> 'emails' -> 0
  AS mail, p.contact ->> 'phone' AS phone, p.contact #>> '{addr,zip}' AS zip, p.weight, round(p.weight::numeric, 1) AS
  w1, extract(year from age(DATE '2024-01-01', p.born))::int AS age, date_part('month', p.born) AS bm, to_char(p.born,
  'DD.MM.YYYY') AS born_de, left(p.name, 1) AS initial
FROM patient p;

-- view: busiest_days
SELECT d.id, d.name, t.day, t.n
FROM doctor d
JOIN LATERAL (SELECT v.day, count(*) AS n FROM visit v WHERE v.doctor_id = d.id GROUP BY v.day ORDER BY count(*) DESC,
  v.day LIMIT 1) t ON true;

-- view: colleagues
SELECT a.id AS a, b.id AS b
FROM doctor a
JOIN doctor b ON a.ward = b.ward AND a.id <> b.id;

-- view: vitals
SELECT v.id, v.day, v.patient_id, v.vitals ->> 'temp' AS temp, (v.vitals -> 'bp' ->> 0)::int AS sys,
  (v.vitals->>'temp')::numeric > 37 AS fever, v.started::time AS t, v.started AT TIME ZONE 'Europe/Berlin' AS tz,
  v.ended - v.started AS len
FROM visit v
WHERE v.day >= '2023-10-01' AND v.day < '2024-06-01' AND v.doctor_id IS DISTINCT
FROM 3;

-- view: costly_doctors
SELECT d.id, d.name, COALESCE(x.n, 0) AS n, COALESCE(x.cost, 0.00) AS cost
FROM doctor d
LEFT JOIN (SELECT doctor_id, count(*) AS n, sum(cost) AS cost FROM visit WHERE cost > 50 GROUP BY doctor_id HAVING
  count(*) >= 2) x ON x.doctor_id = d.id
ORDER BY x.cost DESC NULLS FIRST;

-- view: ward_lines
SELECT w.code, d.id, p.id AS pid
FROM ward w
LEFT JOIN doctor d ON d.ward = w.code
LEFT JOIN patient p ON p.doctor_id = d.id;

-- view: patient_totals
SELECT patient_id, count(*) AS n, avg(cost) AS a, stddev(cost) AS sd, min(started::time) AS earliest, max(ended -
  started) AS longest, sum(ended - started) AS total
FROM visit
GROUP BY patient_id;

-- view: last_visits
SELECT v.*
FROM visit v
WHERE v.day = (SELECT max(x.day) FROM visit x WHERE x.patient_id = v.patient_id);

-- view: dearest_visits
SELECT doctor_id, day, id, cost
FROM visit
ORDER BY cost DESC NULLS LAST, id, day
LIMIT 4;

-- view: top_doctors
SELECT doctor_id, sum(cost) AS s
FROM visit
GROUP BY doctor_id
ORDER BY s DESC NULLS LAST, doctor_id
LIMIT 3;

-- view: prescriptions_by_interval
SELECT every, count(*) AS n, sum(amount) AS a
FROM prescription
GROUP BY every;

-- view: patients_by_allergies
SELECT allergies, count(*) AS n
FROM patient
GROUP BY allergies;

-- view: skills_of_wards
SELECT d.ward, array_agg(d.skills) AS s
FROM doctor d
WHERE cardinality(d.skills) = 2
GROUP BY d.ward;
