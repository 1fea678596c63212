"""An exchange on loopback that speaks Binance spot's wire protocol: for demonstrations, tests and soaks.

Rule: knows nothing of the daemon. Unmodified ccxt and ccxt.pro binance classes trade on it; its books judge what they did.
"""

from daemon.venue.server import Venue, serve
from daemon.venue.settings import VenueSettings

__all__ = ["Venue", "VenueSettings", "serve"]
