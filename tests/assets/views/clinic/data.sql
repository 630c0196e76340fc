SET TimeZone='UTC';
INSERT INTO ward SELECT 'W'||i, 'Ward '||i, i%3, i*4, NULL FROM generate_series(1,5) i;
INSERT INTO doctor (id,name,ward,boss,licence,fee,hours,skills,shift_start,shift_end,hired,rate) SELECT i,
  'Dr '||chr(64+i), 'W'||(i%6), CASE WHEN i>2 THEN i/2 END, CASE WHEN i%3>0 THEN 'L'||i END, i*10.5, i*interval
  '7 hours 30 min', CASE WHEN i%4>0 THEN (ARRAY['cardio','neuro','uro'])[1:i%4] END, make_time(6+i,0,0),
  make_time(12+i,30,15.5), '2010-01-31'::date+i*40, i*1.1 FROM generate_series(1,10) i WHERE i%6<>0;
UPDATE ward SET head_id = CASE code WHEN 'W1' THEN 1 WHEN 'W2' THEN 2 WHEN 'W3' THEN 3 END;
INSERT INTO patient SELECT 'P'||i, 'Pat '||i, CASE WHEN i%5>0 THEN '1950-02-28'::date+i*500 END,
  (ARRAY['f','m','x',NULL]::sex[])[i%4+1], CASE i%3 WHEN 0 THEN NULL WHEN 1 THEN jsonb_build_object('phone', '0'||i,
  'addr', jsonb_build_object('city', 'C'||i%4, 'zip', lpad(i::text,5,'0'))) ELSE '{"phone":null,"emails":["a@b","c@d"]}'
  END, CASE i%4 WHEN 0 THEN NULL WHEN 1 THEN '{}' ELSE (ARRAY['nuts','penicillin',NULL])[1:i%4] END, CASE WHEN i%11>0
  THEN (ARRAY[1,2,3,4,5,7,8,9,10])[i%9+1] END, 50+i/8.0, CASE WHEN i%2=0 THEN 'S'||i END FROM generate_series(1,40) i;
INSERT INTO visit SELECT i, '2023-09-01'::date+i*3, 'P'||(i%40+1), CASE WHEN i%8>0 THEN (ARRAY[1,2,3,4,5,7,8])[i%7+1]
  END, CASE WHEN i%9>0 THEN '2023-09-01 08:00'::timestamp+i*interval '3 days 20 min' END, CASE WHEN i%5>0 THEN
  '2023-09-01 08:30'::timestamp+i*interval '3 days 25 min' END, CASE WHEN i%6>0 THEN i*7.25 END, 'note '||i, CASE WHEN
  i%2=0 THEN jsonb_build_object('bp', jsonb_build_array(100+i,60+i), 'temp', 36+i/100.0) END FROM generate_series(1,150)
  i;
INSERT INTO drug SELECT n, 'mg', i*100.5, i*2.25 FROM unnest(ARRAY['aspirin','ibuprofen','Älpha','zinc']) WITH
  ORDINALITY u(n,i);
INSERT INTO prescription SELECT v.id, v.day, d.name, v.id*0.5, CASE WHEN v.id%2=0 THEN interval '8 hours' ELSE interval
  '1 day' END, v.day+10 FROM visit v JOIN drug d ON (v.id + length(d.name)) % 3 = 0;
INSERT INTO bed SELECT 'W'||(i%5+1), i/5, CASE WHEN i%3=0 THEN 'P'||(i+1) END FROM generate_series(0,24) i;
