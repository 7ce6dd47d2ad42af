WITH hops AS (
    SELECT auction, date_bin(INTERVAL '2 seconds', date_time) - s.back AS starttime
    FROM bid CROSS JOIN (
        VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
            (INTERVAL '6 seconds'), (INTERVAL '8 seconds')
    ) AS s(back)
), counts AS (
    SELECT auction, starttime, count(*) AS num FROM hops GROUP BY auction, starttime
), most AS (
    SELECT starttime, max(num) AS maxn FROM counts GROUP BY starttime
)
SELECT counts.auction, counts.num
FROM counts JOIN most ON counts.starttime = most.starttime AND counts.num >= most.maxn;
