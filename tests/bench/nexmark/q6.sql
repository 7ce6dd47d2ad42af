-- Average selling price by seller: of the winning bids of the last auctions, as Nexmark has it.

CREATE MATERIALIZED VIEW q6 AS
SELECT q.seller, avg(q.price) OVER (
    PARTITION BY q.seller ORDER BY q.date_time ROWS BETWEEN 10 PRECEDING AND CURRENT ROW
) AS avg_price
FROM (
    SELECT *, row_number() OVER (PARTITION BY id, seller ORDER BY price DESC) AS rownum
    FROM (
        SELECT a.id, a.seller, b.price, b.date_time
        FROM auction AS a, bid AS b
        WHERE a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
    ) AS bids
) AS q
WHERE q.rownum <= 1;
