"""The offers domain: accepting, holding and declining slots of a broadcast."""
