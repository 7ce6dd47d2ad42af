-- Not of Nexmark: the plainest keyed aggregate.

CREATE MATERIALIZED VIEW keyed AS
SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS highest FROM bid GROUP BY auction;
