"""Header stamps of the pictures that node tests show: the first one, and the time between two."""

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 500_000_000
