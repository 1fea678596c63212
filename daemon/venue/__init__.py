"""An exchange on loopback that speaks the wire protocol of Binance's spot, or of its USD-M futures: for demonstrations, tests and soaks.

Rule: knows nothing of the daemon. Unmodified ccxt and ccxt.pro binance classes trade on it; its books judge what they did.

What it has of futures, and what not, is said in `swap`. Of spot it speaks: the REST end points of `endpoints.REST` (anything else is 404
and counted), the same by name on the WebSocket API, market streams `SYMBOL@kline_INTERVAL`, `SYMBOL@bookTicker` and `SYMBOL@miniTicker`
on /ws and /stream, the user data stream by `userDataStream.subscribe.signature`, and its own end points under /venue (`admin`).
What it does wrong on purpose, a script of faults says (`faultscript`).
It does not speak: stop orders, order lists, cancel-replace, iceberg, margin, trade and depth streams, and listen keys, which
Binance has ended too.
It differs on purpose: the book is whole again after each of our trades; our own trades leave no mark on the candles, which are those of
the recording or the generator; order and trade ids count within a market, so that whoever takes them for unique finds out here.
"""

from daemon.venue.server import Venue, serve
from daemon.venue.settings import VenueSettings

__all__ = ["Venue", "VenueSettings", "serve"]
