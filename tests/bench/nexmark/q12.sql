-- Windows of each user: bids in ten seconds. Nexmark means those of the clock on the wall; these
-- are of the bids' own time, so that the answer can be checked.

CREATE MATERIALIZED VIEW q12 AS
SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM tumble(bid, date_time, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end;
