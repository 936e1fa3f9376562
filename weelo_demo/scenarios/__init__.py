"""The scenarios, one file each, and the order in which they are shown."""

from weelo_demo.act import Scenario
from weelo_demo.scenarios import (
    breakdown,
    cancel_or_accept,
    contracted,
    double_tap,
    filled,
    hold,
    never_sets_out,
    nobody,
    order_of_three,
    race,
    silent_driver,
    widening,
)

PROGRAMME: tuple[Scenario, ...] = (
    Scenario("a", filled.TITLE, filled.play),
    Scenario("b", race.TITLE, race.play),
    Scenario("c", widening.TITLE, widening.play, long=True),
    Scenario("d", cancel_or_accept.TITLE, cancel_or_accept.play),
    Scenario("e", double_tap.TITLE, double_tap.play),
    Scenario("f", nobody.TITLE, nobody.play, long=True),
    Scenario("g", order_of_three.TITLE, order_of_three.play),
    Scenario("h", hold.TITLE, hold.play, long=True),
    Scenario("i", silent_driver.TITLE, silent_driver.play, long=True),
    Scenario("j", breakdown.TITLE, breakdown.play),
    Scenario("k", never_sets_out.TITLE, never_sets_out.play, long=True),
    Scenario("l", contracted.TITLE, contracted.play),
)
