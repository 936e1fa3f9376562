"""The offers domain: taking or declining trucks of a broadcast."""
