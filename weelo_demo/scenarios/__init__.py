"""The scenarios, one file each, in the order of the programme."""

from weelo_demo.act import Scenario
from weelo_demo.scenarios import cancel_or_accept, double_tap, filled, nobody, race, widening

PROGRAMME: tuple[Scenario, ...] = (
    Scenario("a", filled.TITLE, filled.play),
    Scenario("b", race.TITLE, race.play),
    Scenario("c", widening.TITLE, widening.play, long=True),
    Scenario("d", cancel_or_accept.TITLE, cancel_or_accept.play),
    Scenario("e", double_tap.TITLE, double_tap.play),
    Scenario("f", nobody.TITLE, nobody.play, long=True),
)
