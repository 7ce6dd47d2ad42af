-- Log to files: a row for each bid, with its day and minute.

CREATE MATERIALIZED VIEW q10 AS
SELECT auction, bidder, price, date_time, extra,
    to_char(date_time, 'YYYY-MM-DD') AS dt, to_char(date_time, 'HH24:MI') AS hm
FROM bid;
