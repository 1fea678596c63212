"""The face of USD-M futures: linear perpetuals in one-way mode, margin, funding, liquidation.

Rule: what is the same on spot lives one level up; here is what is not.
It speaks: the end points of `endpoints.TABLE`, market streams `SYMBOL@kline_INTERVAL`, `SYMBOL@markPrice[@1s]`, `SYMBOL@bookTicker` and
`SYMBOL@miniTicker` below /ws, /public, /market and /private, and the user data stream of a listen key.
It does not speak: hedge mode (it can be set, and no order is taken in it), several assets as margin, conditional orders, batches, changed
orders, adding to isolated margin, the WebSocket API, streams of all markets at once, trade and depth streams.
It differs on purpose: candles of one second; a liquidation takes over the whole position at the mark price, for a fee but no commission;
every market has the same brackets.
"""
